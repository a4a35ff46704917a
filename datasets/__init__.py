"""Readers of on-disk data formats, with transforms, loaders and built-in synthetic data."""
