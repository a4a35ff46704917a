"""Fine-grained classification: noisy web photos first, then the data."""
