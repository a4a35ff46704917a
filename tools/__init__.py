"""One command per job."""
