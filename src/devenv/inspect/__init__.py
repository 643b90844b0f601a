"""Read-only commands: status, ps, logs, shell, open, graph, layers."""
