"""Runs of a GAN, and the experiment with its images."""
