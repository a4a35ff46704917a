"""Face attributes: many yes-or-no answers per image."""
