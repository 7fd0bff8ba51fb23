"""The door of the page: checks who asks before a byte reaches the viewer behind it, which itself knows no token.

On this machine's own address whoever is on this machine may look, but no web page of another site that the same browser has
open (its Origin, or a name that was bent to this address). On other interfaces a token is needed: in the address that is
printed, then in a cookie. Answers go through as they are, and only as fast as their reader takes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import http
import ipaddress
import os
import secrets
import threading
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from ..errors import InputError

COOKIE = "fourdhands_token"
_HEAD = 16384
"""Bytes that a request's head may have."""
_PATIENCE = 10.0
"""Seconds in which it must have come."""
_GOING = 2.0
"""Seconds for which who was refused may go on to send."""
_CHUNK = 1 << 16
_CONNECTIONS = 64
"""At once; a page takes one, and a few while it loads."""


@dataclass(frozen=True)
class Request:
    """The head of an HTTP request. target: path and query. headers: by names in small letters, the last of each."""

    method: str
    target: str
    headers: dict[str, str]

    @property
    def is_websocket(self) -> bool:
        """Whether it asks for the connection that an open page has."""
        return self.headers.get("upgrade", "").lower() == "websocket"


class Presence:
    """Whether anybody looks, so that nothing is done for nobody: true while a page is open somewhere."""

    def __init__(self) -> None:
        self._changed, self._count = threading.Condition(), 0

    def __bool__(self) -> bool:
        return self._count > 0

    def wait(self, seconds: float) -> bool:
        """Wait until somebody is there, so long at most."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count > 0, seconds)

    def add(self, change: int) -> None:
        """So many pages were opened, or closed."""
        with self._changed:
            self._count += change
            self._changed.notify_all()


@dataclass(frozen=True)
class Refusal:
    """What is answered instead. words: a sentence. headers: further lines of the answer's head."""

    status: http.HTTPStatus
    words: str
    headers: tuple[str, ...] = ()

    def response(self) -> bytes:
        """The whole answer."""
        body = f"{self.words}\n".encode()
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
            "Referrer-Policy: no-referrer",
            "X-Content-Type-Options: nosniff",
            *self.headers,
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


def parse_head(head: bytes) -> Request | None:
    """The head of a request up to its empty line; None where it is none."""
    try:
        first, *lines = head.decode("latin1").split("\r\n")
        method, target, version = first.split(" ")
        headers = {}
        for line in lines:
            if line:
                name, colon, value = line.partition(":")
                if not colon:
                    return None
                headers[name.strip().lower()] = value.strip()
    except ValueError:
        return None
    return Request(method, target, headers) if version.startswith("HTTP/1.") and target.startswith("/") else None


def decide(request: Request, token: str | None) -> Refusal | None:
    """None where the request may pass.

    token: that is needed; None on the machine's own address, where the names by which the page may be asked for are limited
    instead.
    """
    host = request.headers.get("host", "")
    if request.method != "GET":
        return Refusal(http.HTTPStatus.METHOD_NOT_ALLOWED, "This page is only looked at: use GET.", ("Allow: GET",))
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return Refusal(http.HTTPStatus.FORBIDDEN, f"A page of {origin} may not look in here; open http://{host}/ itself.")
    if token is None:
        if _is_local(host):
            return None
        return Refusal(
            http.HTTPStatus.FORBIDDEN,
            f"This page goes by localhost or 127.0.0.1, not {host!r}; forward its port with ssh -L and open http://localhost:PORT/.",
        )
    query = parse_qs(urlsplit(request.target).query)
    if _equal(query.get("token", [""])[-1], token):
        if request.is_websocket:
            return None
        cookie = f"Set-Cookie: {COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict"
        return Refusal(http.HTTPStatus.SEE_OTHER, "Welcome.", ("Location: /", cookie))
    if _equal(_cookie(request.headers.get("cookie", "")), token):
        return None
    return Refusal(
        http.HTTPStatus.FORBIDDEN,
        "This page needs its token: open the whole address that `fourdhands view` printed, with ?token= at its end.",
    )


def is_loopback(host: str) -> bool:
    """Whether an address to bind to, or its name, is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_local(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return is_loopback(name)


def _equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _cookie(header: str) -> str:
    try:
        jar = SimpleCookie(header)
    except CookieError:
        return ""
    return jar[COOKIE].value if COOKIE in jar else ""


class Gateway:
    """Listens, and connects whoever may pass to a server on this machine. Runs in a thread of its own.

    host, port: to bind to; port 0 for any. spare: so many ports after it are tried where it is taken. inner: port of the
    server on 127.0.0.1. token: see `decide`. port: the one bound to. presence: whether anybody has the page open.

    Raises InputError where the address cannot be bound.
    """

    def __init__(self, host: str, port: int, inner: int, token: str | None, spare: int = 0) -> None:
        self._inner, self._token = inner, token
        self.presence = Presence()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.base_events.Server | None = None
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._thread.start()
        try:
            self._server = asyncio.run_coroutine_threadsafe(self._listen(host, port, spare), self._loop).result()
        except BaseException:
            self.close()
            raise
        self.port: int = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Let go of everybody."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)

    async def _listen(self, host: str, port: int, spare: int) -> asyncio.base_events.Server:
        for number in range(port, port + spare + 1):
            try:
                return await asyncio.start_server(self._serve, host, number, limit=_HEAD)
            except OSError as error:
                problem = error
        code = problem.errno or 0  # below 0 where a name leads to no address
        why = os.strerror(code) if code > 0 else problem.strerror or str(problem)  # without asyncio's repetition of it
        raise InputError(
            f"the page cannot be served at {host}:{port} ({why}); choose another --port, or the "
            "--host of an interface of this machine"
        ) from problem

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # who asked has gone, or all is over
        finally:
            self._tasks.discard(task)
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refusal: Refusal | None = None
        request: Request | None = None
        head = b""
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE)
        except asyncio.LimitOverrunError:
            refusal = Refusal(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"The request's head is over {_HEAD} bytes.")
        except (asyncio.TimeoutError, TimeoutError):
            refusal = Refusal(http.HTTPStatus.REQUEST_TIMEOUT, "The request did not come to its end.")
        if refusal is None:
            if (request := parse_head(head)) is None:
                refusal = Refusal(http.HTTPStatus.BAD_REQUEST, "This is no HTTP request.")
            elif len(self._tasks) > _CONNECTIONS:
                refusal = Refusal(http.HTTPStatus.SERVICE_UNAVAILABLE, "Too many look at this page already; close another one.")
            else:
                refusal = decide(request, self._token)
        if refusal is not None:
            writer.write(refusal.response())
            await _taken(reader, writer)
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._inner, limit=_CHUNK)
        inner_writer.write(head)
        ways = [asyncio.ensure_future(_pass_on(reader, inner_writer)), asyncio.ensure_future(_pass_on(inner_reader, writer))]
        looks = request is not None and request.is_websocket
        try:
            self.presence.add(int(looks))
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.presence.add(-int(looks))
            for way in ways:
                way.cancel()
            inner_writer.close()


async def _taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait until who asked has read the answer and gone: closed while more of the request comes, it would be taken back."""
    await writer.drain()
    writer.write_eof()
    with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
        await asyncio.wait_for(_pass_over(reader), _GOING)


async def _pass_over(reader: asyncio.StreamReader) -> None:
    while await reader.read(_CHUNK):
        pass


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes from one to the other until either ends; waits for the slower one, so that nothing piles up here."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()


def make_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(24)
