"""Keep containers equal to the source tree: from a saved file to the container."""
