"""The service: models over HTTP, for programs and for the page."""
