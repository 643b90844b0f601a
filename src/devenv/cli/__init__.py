"""Commands: parse, call one workflow, return."""
