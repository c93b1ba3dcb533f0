"""What a running service writes down: one JSON line for each request, and nothing that anybody typed."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from app import logs

from tests.crash.processes import free_port
from tests.service import KEY, bearer

CANARY = "kanari-7d21b4"
SECRETS = {
    "APP_SECRET": "rahasia-aplikasi-" + "a" * 32,
    "MBIZ_CLIENT_SECRET": "rahasia-klien-0451",
    "BELA_JWT_KEY": KEY,
}
EMAIL = f"{CANARY}@satker.example"


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


def await_answer(url: str, process: subprocess.Popen[Any]) -> None:
    give_up = time.monotonic() + 60  # it takes one or two; a loaded machine may take longer
    while time.monotonic() < give_up:
        assert process.poll() is None, f"it ended with {process.returncode}"
        try:
            httpx.get(url, trust_env=False, timeout=60).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the service did not start in time")


class Running:
    """A service in a process of its own."""

    def __init__(self, database_url: str, folder: Path, *arguments: str, **settings: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve", "--port", str(port), *arguments],
                env=environment(database_url) | settings,
                cwd=Path(__file__).parent.parent,
                stdout=out,
                stderr=err,
            )

    def await_ready(self) -> None:
        await_answer(f"{self.url}/healthz", self.process)

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
        with httpx.Client(base_url=running.url, headers=bearer(email=EMAIL, name=CANARY), timeout=60) as http:
            say_everything(http)
            counted = http.get("/metrics").text
    finally:
        running.stop()
    out, err = running.out.read_text(), running.err.read_text()
    lines = [json.loads(line) for line in out.splitlines()]
    return [line for line in lines if line["event"] == "request" and line["route"] not in NOT_TOLD], (
        out + err + counted
    )


def say_everything(http: httpx.Client) -> None:
    for number, (method, path, body) in enumerate(REQUESTS):
        http.request(method, path, json=body, headers={"X-Request-Id": f"r{number}"})
    refused = {"Authorization": f"Bearer {CANARY}", "X-Request-Id": "r-401", "Cookie": CANARY}
    http.get("/v1/satkers", headers=refused)
    http.get("/v1/satkers", headers=bearer(sub=EMAIL) | {"X-Request-Id": "r-sub"})


NOT_TOLD = ("/healthz", "/metrics")
UNKNOWN = "0123456789abcdef" * 2
LOGIN = {"email": EMAIL, "password": f"{CANARY}-sandi"}
REQUESTS: list[tuple[str, str, object]] = [
    ("GET", f"/v1/satkers?q={CANARY}", None),
    ("GET", f"/v1/satkers/{CANARY}", None),
    ("GET", f"/v1/mbiz-account?email={EMAIL}", None),
    ("POST", f"/v1/satkers/{CANARY}/mapping/login", LOGIN),
    ("POST", f"/v1/satkers/{CANARY}/mapping/login", {**LOGIN, CANARY: 1}),
    ("PUT", f"/v1/satkers/{CANARY}", None),
    ("GET", f"/v1/{CANARY}", None),
    ("GET", f"/v1/satkers/{UNKNOWN}/mapping", None),
]
LOGGED = [
    ("r0", "GET", "/v1/satkers", 200, "ok", "pp-1", None, 0),
    ("r1", "GET", "/v1/satkers/{satker_id}", 404, "satker_not_found", "pp-1", None, 0),
    ("r2", "GET", "/v1/mbiz-account", 503, "mbiz_unavailable", "pp-1", None, 1),
    ("r3", "POST", "/v1/satkers/{satker_id}/mapping/login", 404, "satker_not_found", "pp-1", None, 0),
    ("r4", "POST", "/v1/satkers/{satker_id}/mapping/login", 422, "validation_failed", "pp-1", None, 0),
    ("r5", "PUT", "/v1/satkers/{satker_id}", 405, "method_not_allowed", "pp-1", None, 0),
    ("r6", "GET", None, 404, "not_found", "pp-1", None, 0),
    ("r7", "GET", "/v1/satkers/{satker_id}/mapping", 404, "satker_not_found", "pp-1", UNKNOWN, 0),
    ("r-401", "GET", None, 401, "unauthenticated", None, None, 0),
    ("r-sub", "GET", "/v1/satkers", 200, "ok", "(an e-mail)", None, 0),
]
COLUMNS = ("request_id", "method", "route", "status", "outcome", "pp_id", "satker_id", "mbiz_calls")


def test_calling_a_running_service(written: tuple[list[dict[str, Any]], str]) -> None:
    """Each request is one JSON line with its route's template, its outcome and what mbizmarket cost it.

    Nothing that was sent is in any line or metric: only a satker's id that can be one of ours, and the PP's id that is
    no e-mail.
    """
    lines, everything = written
    assert LOGGED == [tuple(line[column] for column in COLUMNS) for line in lines]
    assert all(line["ms"] >= line["mbiz_ms"] >= 0 and line["level"] == "info" for line in lines)
    assert all(datetime.fromisoformat(line["timestamp"]).tzinfo for line in lines)
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


@pytest.mark.parametrize("pp_id", ['"', "\\", "\u2028é", "\ud800", "x" * 200])
def test_writing_an_unusual_id(pp_id: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The line that is put together by hand is JSON whatever a portal calls its people."""
    told = logs.Request("r", "GET", "/x", 200, "ok", 1.26, pp_id, "a" * 32, 2, 0.04, "b" * 32)
    logs.configure()
    try:
        told.tell()
    finally:
        structlog.reset_defaults()
        logs._json_lines = None
    (line,) = capfd.readouterr().out.splitlines()
    expected = {**told._asdict(), "ms": 1.3, "mbiz_ms": 0.0, "event": "request", "level": "info"}
    assert {**expected, "timestamp": json.loads(line)["timestamp"]} == json.loads(line)


def test_running_on_a_terminal(sqlite_url: str, tmp_path: Path) -> None:
    """Lines are for people there: no JSON, but the same words."""
    port = free_port()
    terminal, other_end = pty.openpty()
    service = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", str(port)],
        env=environment(sqlite_url),
        cwd=Path(__file__).parent.parent,
        stdout=other_end,
        stderr=subprocess.DEVNULL,
    )
    os.close(other_end)
    try:
        await_answer(f"http://127.0.0.1:{port}/healthz", service)
        shown = ""
        while "/healthz" not in shown:
            shown += os.read(terminal, 4096).decode()
    finally:
        service.terminate()
        service.wait(20)
        os.close(terminal)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert re.search(r"^\d\d:\d\d:\d\d \[info +\] request .*method=GET", plain), plain
    assert "method=GET route=/healthz status=200 outcome=ok ms=" in plain
    assert "{" not in plain
