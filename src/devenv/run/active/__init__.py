"""A running project: observed, updated from its files, and changed service by service."""
