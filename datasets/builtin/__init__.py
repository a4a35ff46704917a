"""Data sets that the suite draws itself."""
