"""One frozen dataclass of flags per tool, and one preset per published result."""
