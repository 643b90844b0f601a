"""The pantry: which images a project needs and how to get each one."""
