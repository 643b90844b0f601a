"""Images built from package registries if no image registry can be reached."""
