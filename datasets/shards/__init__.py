"""Images in tar archives, streamed."""
