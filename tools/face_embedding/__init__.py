"""Networks of face embeddings from the command line to the report."""
