"""Commands that look at a project: status, ps, logs, shell, open, graph, layers."""
