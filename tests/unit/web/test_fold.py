"""The messages that follow from what happens in a run."""

from __future__ import annotations

from typing import Any

from devenv import events as e
from devenv.model.graph import ServiceStats
from devenv.redact import Redactor
from devenv.web.fold import Fold
from support.stories import Told, two


def folded(*told: Told) -> Fold:
    """What is known after these events and facts."""
    fold = Fold(Redactor({}))
    for event in told:
        fold.tell(event, 1.0)
    return fold


def of_type(messages: list[Any], kind: str) -> list[Any]:
    """The messages of this type."""
    return [message for message in messages if message["type"] == kind]


def test_the_state_has_what_the_live_view_shows() -> None:
    """Words, tones, statistics and the last sync of each service."""
    (state,) = of_type(folded(*two()).history(), "state")
    db, web = state["services"]
    assert (db["word"], db["tone"], db["memory"]) == ("healthy", "good", 61 * 2**20)
    assert (web["needs"], web["built"], web["restarts"]) == (["db"], True, 1)
    assert web["sync"] == {"at": 1000, "ms": 13.0, "files": 2, "deleted": 0, "paths": ["src/app.js", "src/style.css"]}
    assert state["ready"] == {"seconds": 4.2, "urls": ("http://localhost:8080/",), "forwarded_from": ""}


def test_an_error_has_its_place() -> None:
    """As the state of the service names it; a problem is listed with its hint."""
    broken = e.ServiceState("web", "started", error="src/main.py:63: SyntaxError: no")
    (state,) = of_type(folded(*two(), broken, e.Problem("no space", "rm x", "db")).history(), "state")
    web = state["services"][1]
    assert (web["tone"], web["place"], web["error"]) == ("bad", "src/main.py:63", "src/main.py:63: SyntaxError: no")
    (problem,) = state["problems"]
    assert (problem["service"], problem["message"], problem["hint"]) == ("db", "no space", "rm x")


def test_an_error_in_the_log_is_on_the_timeline_with_its_line() -> None:
    """Also the lines of devenv itself are in the log."""
    history = folded(*two()).history()
    (timeline,) = of_type(history, "timeline")
    (error,) = [item for item in timeline["items"] if item["kind"] == "error"]
    lines = [line for message in of_type(history, "log") for line in message["lines"]]
    (line,) = [line for line in lines if line[0] == error["line"]]
    assert line[2:5] == ["web", "error", "Error: connect ECONNREFUSED 127.0.0.1:9999"]
    assert ["", "src/app.js +1 → web (13 ms)"] in [[line[2], line[4]] for line in lines]


def test_no_text_of_an_event_has_a_secret() -> None:
    """Of a command, its output, an error, a problem or a wait."""
    fold = Fold(Redactor({"API_KEY": "s3cret"}))
    for event in (
        e.Executed("web", "login s3cret", 1, "one\npassword=s3cret", 5.0),
        e.ServiceState("web", "unhealthy", "s3cret", "check s3cret", "a.js:3: s3cret"),
        e.Waiting("web", "s3cret", 5.0, line="key: s3cret"),
        e.Problem("no s3cret\nnone", "echo s3cret", "web"),
        e.Notice("token=s3cret"),
    ):
        fold.tell(event, 1.0)
    assert "s3cret" not in str(fold.history())
    assert "one\\npassword=***" in str(fold.history())


def test_news_are_only_what_is_new() -> None:
    """The state is left out if it is not wanted yet, and comes later."""
    fold = folded(*two())
    fold.news(with_state=True)
    assert fold.news(with_state=True) == []
    fold.tell(e.Log("web", "hello"), 2.0)
    (log,) = fold.news(with_state=True)
    assert [line[4] for line in log["lines"]] == ["hello"]
    fold.tell(ServiceStats("web", "c2", cpu=50.0, memory=5), 3.0)
    assert [message["type"] for message in fold.news(with_state=False)] == ["load"]
    assert [message["type"] for message in fold.news(with_state=True)] == ["state"]
    assert of_type(fold.history(), "load")[1]["points"][-1] == (3000, 50.0, 5)


def test_an_action_is_refused_while_another_is_under_way() -> None:
    """And if the run does not build the service, or does not have it."""
    fold = folded(*two())
    assert fold.begin("rebuild", "db") == "db is not built by this run"
    assert fold.begin("stop", "gone") == "gone is not a service of this run"
    assert fold.begin("restart", "web") == ""
    assert fold.begin("stop", "web") == "web is busy: restarting: you asked for it"
    fold.settled("restart", "web", "")
    assert {"type": "done", "verb": "restart", "service": "web", "error": ""} in fold.news(with_state=False)
    assert fold.begin("stop", "web") == ""
