"""Weights files with their cards."""
