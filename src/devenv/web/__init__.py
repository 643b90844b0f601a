"""The page in the browser that shows a run: its server, and the messages that it sends."""
