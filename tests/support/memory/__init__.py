"""An engine and the verbs of Compose in memory: see `support.engine`, which is where tests import them from."""
