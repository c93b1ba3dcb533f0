"""Serves the reference portal's files in development, on a port of their own: another origin, as the real portal is."""

import json
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

FILES = Path(__file__).parent.parent / "examples" / "portal"
SIGN_IN = "/demo.json"  # what a real portal has in its settings, and who may sign in

Person = dict[str, str]  # name, email, role, token


def origins(port: int) -> list[str]:
    """What a browser may call the portal; the service has to allow each."""
    return [f"http://{host}:{port}" for host in ("127.0.0.1", "localhost")]


def start(
    port: int, api: str, forgot_password_url: str, people: Callable[[], list[Person]]
) -> ThreadingHTTPServer:
    """The portal on loopback, in a thread of its own until `shutdown()`. `people` is asked at each sign-in."""
    settings = {"api": api, "forgot_password_url": forgot_password_url}
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Pages, port, settings, people))
    Thread(target=server.serve_forever, name="portal", daemon=True).start()
    return server


class _Pages(SimpleHTTPRequestHandler):
    def __init__(
        self, port: int, settings: dict[str, str], people: Callable[[], list[Person]], *connection: Any
    ) -> None:
        self._hosts = {origin.removeprefix("http://") for origin in origins(port)}
        self._policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            f"connect-src 'self' {settings['api']}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._settings = settings
        self._people = people
        super().__init__(*connection, directory=str(FILES))

    def do_GET(self) -> None:
        """A file, or who may sign in. Other names for this machine are refused: they are a rebinding site's."""
        if self.headers.get("Host") not in self._hosts:
            self.send_error(421)
        elif self.path == SIGN_IN:
            self._answer({**self._settings, "people": self._people()})
        else:
            super().do_GET()

    def _answer(self, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", self._policy)
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def list_directory(self, path: Any) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Says nothing: the demo's lines are the service's."""
