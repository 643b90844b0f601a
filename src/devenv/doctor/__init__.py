"""Checks of the machine and of a project, and what to do about the findings."""
