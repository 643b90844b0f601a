"""The nursery: new projects from templates, which may be a stranger's; services and rules put into a project."""
