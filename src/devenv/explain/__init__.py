"""Explain the output of other programs: text in, cause and hint out, by tables in TOML files."""
