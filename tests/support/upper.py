"""`devenv up` for a stack, as most tests of whole runs begin."""

from __future__ import annotations

from dataclasses import dataclass

from support.cli import Devenv, StartDevenv
from support.stack import Stack


@dataclass(frozen=True)
class Up:
    """Starts `devenv up` in the folder and the environment of a stack."""

    start: StartDevenv

    def __call__(self, stack: Stack, *args: str, json_output: bool = True) -> Devenv:
        """Start a run."""
        return self.start("up", *args, cwd=stack.folder, env=stack.env, json_output=json_output)

    def ready(self, stack: Stack, *args: str) -> Devenv:
        """Start a run and wait until its services are up."""
        run = self(stack, *args)
        run.wait_for("ready")
        return run
