"""The commands by subject: each parses, runs one workflow and prints the answer; short workflows are here too."""
