"""The reading room: compose files in, a Project and its run model out."""
