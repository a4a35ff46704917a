"""Photos in tar archives, streamed."""
