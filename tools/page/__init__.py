"""The local page: its server, its models, its files."""
