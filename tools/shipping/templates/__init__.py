"""Texts of the programs that use a shipped model, by language and target."""
