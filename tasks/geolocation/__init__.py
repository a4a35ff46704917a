"""Geolocation: where on Earth an image was taken, as one of many S2 cells."""
