"""Exports in use, without torch."""
