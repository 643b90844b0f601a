"""The only package that talks to the Docker engine or starts child processes."""
