"""Synthetic data sets that the suite draws itself."""
