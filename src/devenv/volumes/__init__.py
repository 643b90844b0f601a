"""Snapshots of volumes: saved, verified, restored, exported, and the lineages that they belong to."""
