"""devenv beside `docker compose watch`: the same work in one run, told as ratios. Linux, as root."""
