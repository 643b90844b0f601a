"""The source tree on the host: watching, reading and comparing it."""
