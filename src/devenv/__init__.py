"""A development environment for Compose projects."""

__version__ = "0.1.0.dev0"
