"""Face embeddings: vectors that are near each other for images of the same person."""
