"""The source tree: watched, scanned and compared."""
