"""Engines on other machines: one supervised ssh process for each, which carries the engine's socket."""
