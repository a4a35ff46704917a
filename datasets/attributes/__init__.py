"""Images with attributes that are present, absent or unknown: CelebA, LFWA, UTKFace."""
