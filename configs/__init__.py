"""One frozen dataclass per tool, and one preset per published row."""
