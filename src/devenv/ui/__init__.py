"""The front window: the only writer to the terminal."""
