"""Geolocation: where on Earth a photo was taken, as one of many S2 cells."""
