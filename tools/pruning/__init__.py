"""Pruning of a trained network, and the experiment on whether it is worth it."""
