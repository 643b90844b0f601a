"""Events as they are written to the JSON stream."""

from __future__ import annotations

import json
from typing import ClassVar

from devenv.events import Failed, HookLine, ImageState, Notice, Published, Ready, ServiceState, Stopped


def test_the_name_in_the_stream_is_that_of_the_class_or_its_own() -> None:
    class Sent(Notice):
        pass

    class Other(Notice):
        event: ClassVar[str] = "named"

    assert (Sent.event, Other.event, Ready.event) == ("sent", "named", "ready")
    own = (ImageState, ServiceState, HookLine, Failed)
    assert [event.event for event in own] == ["image", "service", "hook", "error"]


def test_fields_are_ready_for_json_without_the_name() -> None:
    """Nested values are objects; a default of one event is not shared with other events."""
    ready = Ready("p", ("http://localhost:80",), 1.5, (Published("web", 80, "localhost:80"),))
    assert json.loads(json.dumps(ready.fields())) == {
        "project": "p",
        "urls": ["http://localhost:80"],
        "seconds": 1.5,
        "ports": [{"service": "web", "target": 80, "address": "localhost:80"}],
        "faults": [],
        "forwarded_from": "",
    }
    Stopped().removed["container"] = 1
    assert Stopped().fields()["removed"] == {}
