"""A run: `devenv up` from the files to the running project."""
