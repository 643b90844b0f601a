"""The vocabulary, with the terms of the Compose specification."""
