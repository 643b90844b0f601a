"""Images built from package registries if no registry of images can be reached."""
