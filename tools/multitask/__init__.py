"""Runs of several heads on one trunk."""
