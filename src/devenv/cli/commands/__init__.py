"""The commands by subject: each reads its options, runs a workflow and prints the result; short workflows too."""
