"""`devenv add` and `devenv remove`: services and watch rules in Compose files."""
