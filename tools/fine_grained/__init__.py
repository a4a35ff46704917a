"""Fine-grained classification: noisy web images first, then the data."""
