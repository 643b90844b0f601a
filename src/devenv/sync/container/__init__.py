"""One container: how files get into it, what it contains, and the journal of what was put there."""
