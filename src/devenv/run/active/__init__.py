"""The running project: observed, changed, reloaded."""
