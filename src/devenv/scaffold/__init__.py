"""The nursery: services and rules put into a project's own files."""
