"""Explain the output of other programs by tables: text in, cause and hint out.

Tables: `engine` (docker and ssh), `pull`, `dockerfile`, `build_network`, `compose`, `yaml`, `service` (logs of
services). `log_lines` has no table: it reads the level of log lines.
"""
