"""What is seen of a project that runs, and what is reported of it."""
