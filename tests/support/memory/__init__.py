"""An engine and the verbs of Compose in memory: tests import them from `support.engine`."""
