"""Stacks on a Docker Swarm: their tasks are kept equal to the source tree, on whichever node they run."""
