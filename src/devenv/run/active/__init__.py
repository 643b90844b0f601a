"""A project that runs: observed, updated from its files, and changed service by service."""
