"""Images in tar archives, which are streamed."""
