"""Networks that compute with 8-bit integers."""
