"""The command line: parse, run a command, return its exit code."""
