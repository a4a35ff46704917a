"""Deployment: exports, INT8, their runtime, and how fast they are."""
