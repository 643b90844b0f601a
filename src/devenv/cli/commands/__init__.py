"""The commands, one verb or group a module."""
