"""Requests to the Engine API: versioned paths, time limits, EngineError for all failures, and typed answers."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import anyio

from devenv.docker.bulk import FIRST_ERROR, Take
from devenv.docker.connection import CONNECT_TIMEOUT
from devenv.docker.endpoint import Endpoint, WayError, unreachable
from devenv.docker.exchange import Body, Exchange, LostError
from devenv.docker.http import Client
from devenv.errors import EngineError
from devenv.model.containers import Container, Network

LONG_TIMEOUT = 600.0  # seconds, for work of any size: archives, commands in containers
REMOVAL = 60.0  # seconds on top of the idle time, for files to be deleted
NOTICED = 0.5  # seconds after a request in which the loss of the connection becomes known
LOOK_EVERY = 0.2
NOT_FOUND = 404
CONFLICT = 409
NOT_MODIFIED = 304
ABSENT = re.compile(r"(?i)no such (container|network|volume|file)|not a directory|^(network|volume) \S+ not found")
T = TypeVar("T")
Query = Mapping[str, str] | Sequence[tuple[str, str]]


class CallError(EngineError):
    """An error that the engine answered; `status` is its HTTP code, `reason` its message.

    `absent`: the object does not exist, by the code or the message: engines use different codes for the same error.
    """

    def __init__(self, status: int, reason: str, action: str) -> None:
        super().__init__(f"{action}: {reason}")
        self.status = status
        self.reason = reason
        self.absent = status == NOT_FOUND or ABSENT.search(reason) is not None


class Transport:
    """Requests to an engine, over connections that are kept open.

    `idle` is how long (seconds) the engine may be silent; `is_ours` tells whether devenv created a container or
    network; `is_away`, whether the connection to the engine's machine is lost, which is reported by who holds it. In
    all methods `action` names the request in error messages.
    """

    def __init__(self, http: Client, endpoint: Endpoint) -> None:
        self._http = http
        self._version = ""
        self.endpoint = endpoint
        self.idle = 2 * CONNECT_TIMEOUT
        self.is_ours: Callable[[Container | Network], bool] = lambda _: False
        self.is_away: Callable[[], bool] = lambda: False

    async def until_back(self) -> bool:
        """Wait until a connection that was lost is back; return whether one was: a request then failed for that."""
        if self.endpoint.line is not None:
            await anyio.sleep(NOTICED)
        was_lost = False
        while self.is_away():
            was_lost = True
            await anyio.sleep(LOOK_EVERY)
        return was_lost

    async def call(
        self,
        method: str,
        path: str,
        action: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body = b"",
        extra: float = 0.0,
        total: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of the answer.

        The engine may be silent for the idle time and `extra` (seconds); the call may take `total`, or else as long.
        A removal may take the idle time twice: it may have to be repeated on a new connection.
        """
        idle = self.idle + extra
        limit = total or (idle + self.idle if method == "DELETE" else idle)
        with self.translate_errors(action), anyio.fail_after(limit):
            async with self.request(
                method, path, action, query=query, body=body, idle=idle, headers=headers
            ) as answer:
                return await answer.read()

    async def stream(
        self,
        method: str,
        path: str,
        action: str,
        take: Callable[[bytes], object],
        *,
        query: Query | None = None,
        body: Body = b"",
        idle: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Pass each piece of the answer's body to `take`; the engine may be silent for `idle` seconds.

        The result of `take` is awaited if it is awaitable.
        """
        idle = idle or self.idle
        with self.translate_errors(action):
            async with self.request(
                method, path, action, query=query, body=body, idle=idle, by_chunks=True, headers=headers
            ) as answer:
                while chunk := await answer.chunk():
                    result = take(chunk)
                    if isinstance(result, Awaitable):
                        await result

    async def download(self, path: str, action: str, take: Take, *, query: Query, idle: float | None = None) -> None:
        """Pass each piece of the answer's body to `take`, in a thread; a piece is valid until `take` returns.

        The engine may be silent for `idle` seconds.
        """
        with self.translate_errors(action):
            status, body = await self._http.download(self._target(path, query), take, idle=idle or self.idle)
            if status >= FIRST_ERROR:
                raise CallError(status, _reason(body), action)

    async def upload(self, path: str, action: str, pieces: Generator[bytes], *, query: Query, total: float) -> None:
        """PUT a body that is read from `pieces` in a thread, within `total` seconds. Raises CallError."""
        with self.translate_errors(action), anyio.fail_after(total):
            status, body = await self._http.upload(self._target(path, query), pieces, idle=self.idle)
            if status >= FIRST_ERROR:
                raise CallError(status, _reason(body), action)

    async def ask(
        self, path: str, action: str, read: Callable[[Any], T], query: Mapping[str, str] | None = None, **options: Any
    ) -> T:
        """The JSON of the answer, converted by `read`; `options` as for `call`."""
        content = await self.call("GET", path, action, query=query, **options)
        with self.translate_errors(action):
            return read(json.loads(content))

    async def ask_all(
        self, path: str, action: str, read: Callable[[Any], T], query: Mapping[str, str] | None = None
    ) -> list[T]:
        """The entries of a listing, converted by `read`. A listing may be null; the listing of volumes is nested."""

        def entries(answer: Any) -> list[T]:
            return [read(entry) for entry in (answer["Volumes"] if path == "volumes" else answer) or ()]

        return await self.ask(path, action, entries, query)

    async def create(
        self,
        path: str,
        action: str,
        options: Mapping[str, Any],
        read: Callable[[Any], T],
        query: Mapping[str, str] | None = None,
    ) -> T:
        """Create an object with these options; the JSON of the answer, converted by `read`."""
        content = await self.call("POST", path, action, query=query, body=json.dumps(options).encode())
        with self.translate_errors(action):
            return read(json.loads(content))

    async def remove(self, path: str, action: str, query: Mapping[str, str] | None = None) -> None:
        """Remove an object; does nothing if the object is gone."""
        with IgnoreAbsent():
            await self.call("DELETE", path, action, query=query, extra=REMOVAL)

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, path: str, action: str, *, query: Query | None = None, **options: Any
    ) -> AsyncIterator[Exchange]:
        """The answer to a request; `options` as for `Client.request`. Raises CallError."""
        async with self._http.request(method, self._target(path, query), **options) as answer:
            if answer.status >= FIRST_ERROR and answer.status != NOT_MODIFIED:
                raise CallError(answer.status, _reason(await answer.read()), action)
            yield answer

    def _target(self, path: str, query: Query | None) -> str:
        encoded = "?" + urlencode(query, quote_via=quote, errors="surrogateescape") if query else ""
        return f"{self._version}/{path}{encoded}"

    @contextlib.contextmanager
    def translate_errors(self, action: str) -> Iterator[None]:
        """Raise EngineError for a timeout, a lost connection and an answer of an unexpected shape."""
        try:
            yield
        except TimeoutError as error:
            text = f"{action}: the engine at {self.endpoint.shown} does not answer"
            raise EngineError(text, hint="docker info") from error
        except LostError as error:
            reason = str(error.__cause__) if isinstance(error.__cause__, WayError) else ""
            raise unreachable(self.endpoint, str(error), reason) from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            text = f"{action}: unexpected answer from the engine at {self.endpoint.shown}"
            raise EngineError(text, hint="docker info") from error

    async def drop_connections(self) -> None:
        """Close all connections; calls in progress fail with LostError."""
        await self._http.aclose()


class EngineGroup:
    """The methods of an engine for one kind of object."""

    def __init__(self, api: Transport) -> None:
        self._api = api


class IgnoreAbsent:
    """Suppress the error if an object is gone or already being removed."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, CallError):
            return False
        return error.absent or (error.status == CONFLICT and "already in progress" in error.reason)


def _reason(content: bytes) -> str:
    with contextlib.suppress(ValueError, LookupError, TypeError):
        return str(json.loads(content)["message"]).strip()
    return content.decode(errors="backslashreplace").strip() or "no reason given"
