"""Who may look at the page: tokens, names, other sites, and what is no request at all."""

import contextlib
import http.server
import select
import socket
import threading

import pytest

from fourdhands_core.errors import InputError
from fourdhands_core.view import gateway as gateways
from fourdhands_core.view.gateway import Gateway, decide, is_loopback, make_token, parse_head

TOKEN = "a-token-for-tests"
PAGE = b"the page behind"


@pytest.fixture
def inner():
    """A server as the viewer's, which knows no token; it answers each request and closes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def gateway(inner, token=None):
    made = Gateway("127.0.0.1", 0, inner, token)
    try:
        yield made.port
    finally:
        made.close()


def ask(port, head: bytes) -> bytes:
    """The whole answer to some bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(head)
        return rest(connection)


def rest(connection) -> bytes:
    """All that comes until the other side ends it."""
    answer = b""
    while data := connection.recv(65536):
        answer += data
    return answer


def get(port, target="/", host=None, **headers) -> bytes:
    lines = [f"GET {target} HTTP/1.1", f"Host: {host or f'localhost:{port}'}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ask(port, ("\r\n".join(lines) + "\r\n\r\n").encode())


def test_on_this_machine_the_page_is_open(inner):
    with gateway(inner) as port:
        for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "localhost:9999"):  # a tunnel's port
            assert get(port, host=host).endswith(PAGE)


@pytest.mark.parametrize(
    "host, headers",
    [
        ("evil.example:8080", {}),  # a name that was bent to this address
        ("", {}),
        (None, {"Origin": "http://evil.example"}),
        (None, {"Origin": "null"}),
        (None, {"Origin": "http://localhost:1"}),  # another page on this machine
        (None, {"Origin": "http://evil.example", "Upgrade": "websocket"}),
    ],
)
def test_other_sites_may_not_look(inner, host, headers):
    with gateway(inner) as port:
        answer = (
            get(port, host=host if host is not None else None, **headers)
            if host != ""
            else ask(port, b"GET / HTTP/1.1\r\n\r\n")
        )
        assert answer.startswith(b"HTTP/1.1 403") and PAGE not in answer


def test_the_token(inner):
    """Asked for in words; taken from the address once, then from the cookie; whatever the page is called."""
    with gateway(inner, TOKEN) as port:
        for target, headers in (
            ("/", {}),
            ("/?token=", {}),
            ("/?token=wrong", {}),
            ("/", {"Cookie": "fourdhands_token=wrong"}),
            ("/", {"Cookie": "fourdhands_token"}),
            ("/", {"Upgrade": "websocket"}),
        ):
            answer = get(port, target, **headers)
            assert answer.startswith(b"HTTP/1.1 403") and b"needs its token" in answer and PAGE not in answer
        welcome = get(port, f"/?token={TOKEN}", host="robot:8080")
        assert welcome.startswith(b"HTTP/1.1 303") and b"\r\nLocation: /\r\n" in welcome
        (cookie,) = [line for line in welcome.decode().split("\r\n") if line.startswith("Set-Cookie: ")]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert get(port, host="robot:8080", Cookie="a=b; " + cookie.split(": ")[1].split(";")[0]).endswith(PAGE)


def test_no_redirection_to_elsewhere(inner):
    with gateway(inner, TOKEN) as port:
        assert b"\r\nLocation: /\r\n" in get(port, f"//evil.example/?token={TOKEN}")


@pytest.mark.parametrize(
    "head, status",
    [
        (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"405"),
        (b"hello\r\n\r\n", b"400"),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET / HTTP/2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nnothing\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400"),  # TLS
        (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n", b"431"),
    ],
)
def test_what_is_no_request(inner, head, status):
    with gateway(inner) as port:
        assert ask(port, head).split()[1] == status
        assert get(port).endswith(PAGE)  # and it goes on


def test_who_still_sends_has_the_answer_too(inner, monkeypatch):
    """Closed on what nobody has read, the connection would be reset, and the answer lost with it."""
    monkeypatch.setattr(gateways, "_GOING", 120.0)
    with gateway(inner) as port, socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(b"GET /" + b"a" * 20000)
        assert select.select([connection], [], [], 120)[0]
        connection.sendall(b"a" * 100_000)
        connection.shutdown(socket.SHUT_WR)
        assert rest(connection).startswith(b"HTTP/1.1 431")


def test_who_leaves_in_the_middle(inner):
    with gateway(inner) as port:
        for part in (b"", b"GET", b"GET / HTTP/1.1\r\nHost: localhost\r\n"):
            with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
                connection.sendall(part)
        assert get(port).endswith(PAGE)


def test_addresses():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port} .*choose another --port"):
            Gateway("127.0.0.1", port, 1, None)
        made = Gateway("127.0.0.1", port, 1, None, spare=20)
        assert made.port > port
        made.close()
    with pytest.raises(InputError, match="--host"):
        Gateway("203.0.113.1", 0, 1, None)
    with pytest.raises(InputError, match=r"robot.invalid:0 \((?!Unknown error).*(known|resolution|address).*\)"):
        Gateway("robot.invalid", 0, 1, None)
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("192.168.1.2") and not is_loopback("robot")
    assert make_token() != make_token() and len(make_token()) > 20


def test_the_token_is_compared_whole():
    request = parse_head(f"GET /?token={TOKEN[:-1]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert request is not None and decide(request, TOKEN) is not None
