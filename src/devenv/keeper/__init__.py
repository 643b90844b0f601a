"""The keeper: the process that holds a run in the background after `up -d`, or `d` in the live view."""
