"""What devenv keeps on disk: runs, what they created, and what identifies an engine, a folder or a volume."""
