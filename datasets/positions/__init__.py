"""Images with the positions at which they were taken: lists, GPS tags."""
