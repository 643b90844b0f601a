"""The machine room: the only rooms that touch Docker or child processes."""
