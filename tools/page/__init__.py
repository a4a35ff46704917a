"""The files of the page that the service shows."""
