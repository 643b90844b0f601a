"""Read-only workflows that are too long for their command: status, logs, layers; and one-off containers."""
