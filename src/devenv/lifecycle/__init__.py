"""The stairs up and down."""
