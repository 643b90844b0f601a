"""The vocabulary, in the Compose specification's own words."""
