"""The end of a run: teardown, the guardian, `down`, `gc`, and the logs that are kept."""
