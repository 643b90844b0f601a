"""New projects and services."""
