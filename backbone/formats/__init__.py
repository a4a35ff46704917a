"""Readers of other frameworks' weights files, each with what it knows of their flavour."""
