"""Classification: one answer per image, on any body."""
