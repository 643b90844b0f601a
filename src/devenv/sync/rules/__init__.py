"""Watch rules: patterns, targets, mistakes in them, and what they say of a path."""
