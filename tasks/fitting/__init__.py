"""Training, for any application."""
