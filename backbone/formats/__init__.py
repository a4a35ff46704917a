"""Readers of weights files from other frameworks, with what is known about their conventions."""
