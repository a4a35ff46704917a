"""Faces by person: LFW, folders, .rec and .bin archives."""
