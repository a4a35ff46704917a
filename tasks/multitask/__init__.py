"""One trunk with a head for each of several tasks."""
