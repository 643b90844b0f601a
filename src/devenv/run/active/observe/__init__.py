"""Observing a running project, and reporting what changes."""
