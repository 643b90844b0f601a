"""One container: how files get into it, what it holds, and the journal of what was put there."""
