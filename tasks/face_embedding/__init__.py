"""Face embeddings: vectors that are near each other for photos of one person."""
