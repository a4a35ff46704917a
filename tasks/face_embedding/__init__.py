"""Face embeddings: vectors that are near each other for images of one person."""
