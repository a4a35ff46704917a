"""Faces by person: LFW, folders of people, .rec and .bin archives."""
