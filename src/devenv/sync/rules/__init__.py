"""Watch rules: patterns, targets, mistakes in rules, and explanations for a path."""
