"""The images that a project needs, and how each of them is pulled, loaded or built."""
