"""Compose files read, resolved and checked: a Project, and the run model that Compose is given."""
