"""Addresses that mean this machine."""

from __future__ import annotations

import re

LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){3}|\[::1\]")
