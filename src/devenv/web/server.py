"""The server of the page: the shell, the stream of messages, earlier lines and actions, for one run."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import SocketAttribute, TaskStatus

from devenv import __version__
from devenv.compose.worktrees import branch
from devenv.docker.trace import redactor
from devenv.errors import DevenvError
from devenv.events import Problem
from devenv.run.page import PageAddress, PageSource
from devenv.tasks import task_group
from devenv.web import access, earlier, http, messages, static
from devenv.web.fold import Message
from devenv.web.http import HttpExchange, HttpServer
from devenv.web.hub import OpenPage, encoded
from devenv.web.open_pages import OpenPages

VERBS = ("restart", "rebuild", "stop", "start")
PIECE = 1000  # lines that are sent together
PAGES = 16  # pages that are open at once
OPENS = 60.0  # seconds in which a browser has to open the page
LAST_WORDS = 0.5  # seconds to tell a page that the run ends
SECURITY = (
    ("Content-Security-Policy", static.POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
JSON, LINES = "application/json", "application/x-ndjson"


class RunPage:
    """The page of a run."""

    def __init__(self, source: PageSource) -> None:
        self._source = source
        self._redactor = redactor()
        self._files = static.files()
        self._tokens: dict[str, bool] = {}  # each with whether it allows actions
        self._once: dict[str, tuple[str, float]] = {}  # secrets of addresses: a token, and until when it is given out
        self._port = 0
        self._http = HttpServer(self._answer, self._refuse, self._failed)
        self._pages = OpenPages(source, self._redactor)

    def address(self, *, is_read_only: bool) -> PageAddress:
        """The address of the page, with a token that is kept by the browser alone; and one that leads there once."""
        token = next((token for token, acts in self._tokens.items() if acts is not is_read_only), None)
        if token is None:
            token = secrets.token_urlsafe(32)
            self._tokens[token] = not is_read_only
        now, secret = time.monotonic(), secrets.token_urlsafe(16)
        self._once = {known: of for known, of in self._once.items() if of[1] > now}
        self._once[secret] = token, now + OPENS
        origin = f"http://127.0.0.1:{self._port}"
        return PageAddress(f"{origin}/#{token}", f"{origin}{access.ONCE}{secret}")

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve on a free port of this machine alone until cancelled."""
        async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
            self._port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not of a database
            async with task_group() as tasks:
                await tasks.start(self._pages.serve)
                task_status.started()
                await listener.serve(self._http.connected)

    async def report(self) -> AsyncIterator[bytes]:
        """The messages of a page that is exported, with the lines before those that are in memory."""
        async with self._pages.state() as shared:
            hub = shared.hub
            history = hub.history()
            yield encoded(self._hello(is_read_only=True))
            for message in history:
                if message["type"] != "log":
                    yield encoded(message)
            lines: list[Any] = []
            with contextlib.suppress(DevenvError):
                found = await earlier.of_this_run(self._source, hub.fold.beginnings, self._redactor)
                lines = [line.message() for line in found[-earlier.REPORTED :]]
            for start in range(0, len(lines), PIECE):
                yield encoded({"type": "log", "lines": lines[start : start + PIECE]})
            for message in history:
                if message["type"] == "log":
                    yield encoded(message)

    def _failed(self, error: Exception) -> None:
        message = f"the page has failed ({type(error).__name__}: {error}); this is a bug"
        self._source.emit(Problem(message, access.HINT))

    async def _refuse(self, exchange: HttpExchange, status: int) -> None:
        await _say(exchange, access.Refusal(status, http.REASONS[status].lower()))

    async def _answer(self, exchange: HttpExchange) -> None:
        request = exchange.request
        refusal = access.refusal(request, self._port, self._tokens, self._files.keys())
        if refusal is not None:
            await _say(exchange, refusal)
        elif request.target.startswith(access.ONCE):
            await self._lead(exchange, request.target.removeprefix(access.ONCE))
        elif (file := self._files.get(request.target)) is not None:
            with anyio.move_on_after(http.PATIENCE):
                await exchange.answer(200, [("Content-Type", file.type), *SECURITY], file.content)
        else:
            try:
                body = json.loads(await exchange.body() or b"{}")
            except (ValueError, RecursionError):
                raise http.BadRequest(400) from None
            if not isinstance(body, dict):
                raise http.BadRequest(400)
            answers = {access.STREAM: self._stream, access.ACTION: self._act, access.EARLIER: self._earlier}
            await answers[request.target](exchange, body)

    async def _lead(self, exchange: HttpExchange, secret: str) -> None:
        """Lead to the page, with its token in the fragment, unless the address was used or is old."""
        token, until = self._once.pop(secret, ("", 0.0))
        with anyio.move_on_after(http.PATIENCE):
            if time.monotonic() < until:
                await exchange.answer(303, [("Location", f"/#{token}"), *SECURITY], b"")
            else:
                text = b"This address was used already, or is too old. Run `devenv page` again.\n"
                await exchange.answer(404, [("Content-Type", "text/plain"), *SECURITY], text)

    async def _stream(self, exchange: HttpExchange, _: Mapping[str, Any]) -> None:
        if self._pages.count >= PAGES:
            await _say(exchange, access.Refusal(429, f"{PAGES} pages of this run are open", "Close one of them."))
            return
        is_read_only = not access.rights(exchange.request, self._tokens)
        try:
            async with self._pages.state() as shared, task_group() as tasks:
                hub = shared.hub
                page = OpenPage(tasks.cancel_scope.cancel)
                for message in (self._hello(is_read_only=is_read_only), *hub.history()):
                    page.put(encoded(message))
                hub.pages.append(page)
                try:
                    tasks.start_soon(_send, exchange, page)
                    await exchange.until_closed()
                    tasks.cancel_scope.cancel()
                finally:
                    hub.pages.remove(page)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), anyio.move_on_after(LAST_WORDS), contextlib.suppress(*http.GONE):
                await exchange.send(encoded(self._ended()))
                await exchange.end()
            raise

    async def _act(self, exchange: HttpExchange, body: Mapping[str, Any]) -> None:
        verb, service = body.get("verb"), body.get("service")
        if verb not in VERBS or not isinstance(service, str):
            await _say(exchange, access.Refusal(400, f"an action is one of {', '.join(VERBS)}, with a service"))
            return
        async with self._pages.state() as shared:
            why = self._pages.act(shared, str(verb), service)
            if why:
                await _say(exchange, access.Refusal(409, why))
                return
            await exchange.answer(200, [("Content-Type", JSON), *SECURITY], b'{"ok":true}')

    async def _earlier(self, exchange: HttpExchange, body: Mapping[str, Any]) -> None:
        is_last = body.get("run") == "last"
        async with self._pages.state() as shared:
            hub = shared.hub
            hub.history()
            try:
                if is_last:
                    lines = await earlier.of_the_last_run(self._source, self._redactor)
                else:
                    lines = await earlier.of_this_run(self._source, hub.fold.beginnings, self._redactor)
            except DevenvError as error:
                await _say(exchange, access.Refusal(502, error.said, error.hint or ""))
                return
        await exchange.begin(200, [("Content-Type", JSON), *SECURITY])
        source = "the last run" if is_last else "this run"
        await exchange.send(json.dumps({"source": source}).encode()[:-1] + b',"lines":[')
        for begin in range(0, len(lines), PIECE):
            values = [line.message() for line in lines[begin : begin + PIECE]]
            text = json.dumps(values, separators=(",", ":"))[1:-1]
            await exchange.send(f"{',' if begin else ''}{text}".encode())
        await exchange.send(b"]}")
        await exchange.end()

    def _ended(self) -> Message:
        goes_on = self._source.goes_on()
        reason = "another process has it now: `devenv page` shows it again" if goes_on else "it was stopped"
        return {"type": "ended", "reason": reason, "goesOn": goes_on}

    def _hello(self, *, is_read_only: bool) -> Message:
        project = self._source.project.desired.project
        home = os.path.expanduser("~")
        is_below = project.directory.startswith(f"{home}/")
        return messages.hello(
            project.name,
            f"~{project.directory[len(home) :]}" if is_below else project.directory,
            branch(project.directory) or "",
            __version__,
            is_read_only=is_read_only,
            now=time.time(),
            began=self._source.project.ledger.began,
        )


async def _send(exchange: HttpExchange, page: OpenPage) -> None:
    await exchange.begin(200, [("Content-Type", LINES), *SECURITY])
    while True:
        await exchange.send(await page.take())


async def _say(exchange: HttpExchange, refusal: access.Refusal) -> None:
    body = json.dumps({"error": refusal.error, "hint": refusal.hint}).encode()
    with anyio.move_on_after(http.PATIENCE):
        await exchange.answer(refusal.status, [("Content-Type", JSON), *SECURITY], body)
