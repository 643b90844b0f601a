"""The source tree on the host: watched, read and compared."""
