"""The end of a run: teardown, guardian, `down`, `gc`, and the logs that are kept."""
