"""Exports, in float and 8 bits: made, compared, scored."""
