"""Training, whatever the application."""
