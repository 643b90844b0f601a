"""Snapshots of volumes: saving, verifying, restoring and exporting them, and their lineages."""
