"""The corridor from a saved file to the container."""
