"""Read-only workflows that are too long for their commands: status, logs, layers; and one-off containers."""
