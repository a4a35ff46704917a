"""Narrowing a trained network, and the experiment whether it is worth it."""
