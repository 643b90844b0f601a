"""Checks of the machine and of a project, with a hint for each finding."""
