"""Adapters from the real on-disk formats to samples, transforms, loaders and built-in scenes."""
