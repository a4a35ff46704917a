"""Images with attributes that are there, not there or unknown: CelebA, LFWA."""
