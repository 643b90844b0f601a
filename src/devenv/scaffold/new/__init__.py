"""`devenv new`: projects from templates, which may be a stranger's."""
