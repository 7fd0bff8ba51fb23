"""Starts the page: the viewer behind its gateway, and what is printed of it."""

from __future__ import annotations

import contextlib
import getpass
import io
import logging
import os
import socket
import sys
from dataclasses import dataclass

import viser
from threadpoolctl import threadpool_limits
from viser import _messages

from ..errors import InputError
from .gateway import Gateway, is_loopback, make_token

PORT = 8080
_SPARE = 20
_ALL = "0.0.0.0", "::"
"""Addresses that stand for all interfaces."""
_SWITCH_INTERVAL = 1e-3
"""Seconds after which a thread that computes lets another one run: a choice goes through four of them until it is drawn."""


@dataclass(frozen=True)
class Served:
    """A page that is open. server: to draw with. gateway: in front of it. url: to open on this machine."""

    server: viser.ViserServer
    gateway: Gateway
    host: str
    token: str | None

    @property
    def url(self) -> str:
        """The address, with the token where one is needed."""
        return self._url("localhost" if is_loopback(self.host) else socket.gethostname() if self.host in _ALL else self.host)

    def _url(self, host: str) -> str:
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.gateway.port}/" + (f"?token={self.token}" if self.token else "")

    def text(self) -> str:
        """What is printed: where the page is, and how to come to it from another machine."""
        address, ssh_port = _reached_by_ssh()
        if self.token:
            other = f"\nor {self._url(address)}, by which this ssh session came" if address and self.host in _ALL else ""
            return f"open {self.url}{other}\nwhoever has this address can look; without its token nobody"
        port, name = self.gateway.port, socket.gethostname()
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # an account without a name, as in containers
            user = "USER"
        tunnel = f"ssh {'' if ssh_port in ('', '22') else f'-p {ssh_port} '}-L {port}:localhost:{port} {user}@{name}"
        other = f" (or {user}@{address})" if address else ""
        return f"open {self.url}\nfrom another machine: {tunnel}{other}, and open the same address there"

    def close(self) -> None:
        """Take the page away."""
        self.gateway.close()
        with _silent():
            self.server.stop()


def _reached_by_ssh() -> tuple[str, str]:
    """This machine's address and port as whoever is logged in over ssh reached them, which its name may not lead to; empty
    where nobody is."""
    parts = os.environ.get("SSH_CONNECTION", "").split()
    return (parts[2], parts[3]) if len(parts) == 4 else ("", "")


def serve(host: str = "127.0.0.1", port: int | None = None, token: str | None = None) -> Served:
    """An empty page.

    port: None for 8080 or one of the next that is free. token: of other interfaces than this machine's own; None: one is made.
    Raises InputError where the address cannot be bound, or a token is given that is too short to be one.
    """
    if token is not None and len(token) < 8:
        raise InputError(
            f"--token {token} has {len(token)} letters, which can be guessed; give 8 or more, or none to have one made"
        )
    if token is not None and not (token.isascii() and token.replace("-", "").replace("_", "").isalnum()):
        raise InputError("--token has other letters than a-z, A-Z, 0-9, - and _, which addresses and cookies do not carry")
    if port is not None and not 0 <= port < 65536:
        raise InputError(f"--port {port} is not between 0 and 65535")
    if not is_loopback(host):
        token = token or make_token()
    threadpool_limits(1, user_api="blas")  # a hand's matrices are small, and threads would wait for each other
    sys.setswitchinterval(_SWITCH_INTERVAL)
    _quieten()
    with _silent():
        server = viser.ViserServer("127.0.0.1", 0, verbose=False)
    # viser's page can ask its server to open a tunnel to a host of its makers: nothing here leaves this machine
    for kind in (_messages.ShareUrlRequest, _messages.ShareUrlDisconnect):
        with contextlib.suppress(AssertionError):
            server._websock_server.unregister_handler(kind)
    try:
        gateway = Gateway(host, PORT if port is None else port, server.get_port(), token, _SPARE if port is None else 0)
    except BaseException:
        with _silent():
            server.stop()
        raise
    server.gui.configure_theme(control_width="large", show_logo=False, show_share_button=False)
    server.gui.main_panel.dock_right()
    server.gui.set_panel_label("FourDHands")
    server.scene.configure_default_lights(True, cast_shadow=False)  # nothing casts any, but they are computed
    # a room that shines on the hands from all sides costs a browser without a graphics card a third of each picture
    server.scene.configure_environment_map(None)
    server.scene.add_light_hemisphere("/light", sky_color=(255, 255, 255), ground_color=(190, 185, 180), intensity=1.5)
    server.scene.set_up_direction("-y")
    server.initial_camera.position = (0.25, -0.35, -0.35)
    server.initial_camera.look_at = (0.0, 0.0, 0.5)
    return Served(server, gateway, host, token)


class _Quiet(logging.Filter):
    """One line instead of the traceback of each frame that a stranger's program sends."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging."""
        if record.exc_info:
            error = record.exc_info[1]
            print(f"fourdhands: a client was cut off: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        return False


def _quieten() -> None:
    for name in ("websockets.server", "asyncio"):
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Quiet) for one in logger.filters):
            logger.addFilter(_Quiet())


@contextlib.contextmanager
def _silent():
    """Without the lines that viser prints of the address behind the gateway."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
