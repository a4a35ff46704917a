"""Classification: one answer per photo, on any body."""
