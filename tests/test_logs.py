"""What a running service writes down: one JSON line for each request, and nothing that anybody typed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service import KEY, bearer

CANARY = "kanari-7d21b4"
SECRETS = {
    "APP_SECRET": "rahasia-aplikasi-" + "a" * 32,
    "MBIZ_CLIENT_SECRET": "rahasia-klien-0451",
    "BELA_JWT_KEY": KEY,
}
EMAIL = f"{CANARY}@satker.example"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(database_url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "MBIZ_URL": f"http://127.0.0.1:{free_port()}",  # nobody listens there
        "MBIZ_CLIENT_ID": "satu-pp",
        "MBIZ_FORGOT_PASSWORD_URL": "https://mbiz.example/lupa",
        "BELA_ISSUER": "bela",
        "BELA_AUDIENCE": "satu-pp",
        "BELA_JWT_ALGORITHM": "HS256",
        **SECRETS,
    }


class Running:
    """A service in a process of its own."""

    def __init__(self, database_url: str, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve", "--port", str(port)],
                env=environment(database_url),
                cwd=Path(__file__).parent.parent,
                stdout=out,
                stderr=err,
            )

    def await_ready(self) -> None:
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            assert self.process.poll() is None, self.err.read_text()
            try:
                httpx.get(f"{self.url}/healthz").raise_for_status()
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("the service did not start in 30 s")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def written(sqlite_url: str, tmp_path: Path) -> tuple[list[dict[str, Any]], str]:
    """The lines of a run in which everything that is said has a canary in it, and all that was written."""
    running = Running(sqlite_url, tmp_path)
    try:
        running.await_ready()
        with httpx.Client(base_url=running.url, headers=bearer(email=EMAIL, name=CANARY)) as http:
            say_everything(http)
    finally:
        running.stop()
    out, err = running.out.read_text(), running.err.read_text()
    lines = [json.loads(line) for line in out.splitlines()]
    return [line for line in lines if line["event"] == "request" and line["route"] != "/healthz"], out + err


def say_everything(http: httpx.Client) -> None:
    for number, (method, path, body) in enumerate(REQUESTS):
        http.request(method, path, json=body, headers={"X-Request-Id": f"r{number}"})
    refused = {"Authorization": f"Bearer {CANARY}", "X-Request-Id": "r-401", "Cookie": CANARY}
    http.get("/v1/satkers", headers=refused)


LOGIN = {"email": EMAIL, "password": f"{CANARY}-sandi"}
REQUESTS: list[tuple[str, str, object]] = [
    ("GET", f"/v1/satkers?q={CANARY}", None),
    ("GET", f"/v1/satkers/{CANARY}", None),
    ("GET", f"/v1/mbiz-account?email={EMAIL}", None),
    ("POST", f"/v1/satkers/{CANARY}/mapping/login", LOGIN),
    ("POST", f"/v1/satkers/{CANARY}/mapping/login", {**LOGIN, CANARY: 1}),
    ("PUT", f"/v1/satkers/{CANARY}", None),
    ("GET", f"/v1/{CANARY}", None),
]
LOGGED = [
    ("r0", "GET", "/v1/satkers", 200, "pp-1"),
    ("r1", "GET", "/v1/satkers/{satker_id}", 404, "pp-1"),
    ("r2", "GET", "/v1/mbiz-account", 503, "pp-1"),
    ("r3", "POST", "/v1/satkers/{satker_id}/mapping/login", 404, "pp-1"),
    ("r4", "POST", "/v1/satkers/{satker_id}/mapping/login", 422, "pp-1"),
    ("r5", "PUT", "/v1/satkers/{satker_id}", 405, "pp-1"),
    ("r6", "GET", None, 404, "pp-1"),
    ("r-401", "GET", None, 401, None),
]


def test_calling_a_running_service(written: tuple[list[dict[str, Any]], str]) -> None:
    """Each request is one JSON line with its route's template, and nothing that was sent is in any line."""
    lines, everything = written
    columns = ("request_id", "method", "route", "status", "pp_id")
    assert LOGGED == [tuple(line[column] for column in columns) for line in lines]
    assert all(line["ms"] >= 0 and line["level"] == "info" and line["timestamp"] for line in lines)
    leaked = [word for word in (CANARY, EMAIL, *SECRETS.values(), "?q=") if word in everything]
    assert [] == leaked


def test_stopping_a_running_service(sqlite_url: str, tmp_path: Path) -> None:
    """SIGTERM ends it without a word of trouble."""
    running = Running(sqlite_url, tmp_path)
    try:
        running.await_ready()
    finally:
        status = running.stop()
    assert (True, "") == (status in (0, -signal.SIGTERM), running.err.read_text())
