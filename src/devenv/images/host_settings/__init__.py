"""Package registries and certificates of this machine, for images whose builds need them."""
