"""The porch: what must be there before anything starts."""
