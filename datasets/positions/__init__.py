"""Images with the place where each was taken: lists, GPS tags."""
