"""The service and mbizmarket as processes of their own, started and ended by their ids."""

import contextlib
import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Self

import httpx

from tests.service import KEY

ROOT = Path(__file__).parents[2]
# Below those the kernel gives to clients: none is lost between two starts.
FIRST_PORT, STRETCH, STRETCHES = 20_000, 750, 16
START_SECONDS = 120.0  # it takes two; a loaded machine may take longer

DEADLINE = 1.0  # seconds; of the service's settings, and short so that many cases fit into a run
LEASE = 1.0
GRACE = 1.5


def environment(database_url: str, market_port: int) -> dict[str, str]:
    """The service's settings; nothing of ours leaks in from whoever runs the tests."""
    return {
        "PATH": os.defpath,
        "PYTHONPATH": str(ROOT),
        "APP_ENV": "development",
        "APP_SECRET": "s" * 40,
        "DATABASE_URL": database_url,
        "MBIZ_URL": f"http://127.0.0.1:{market_port}",
        "MBIZ_CLIENT_ID": "satu-pp",
        "MBIZ_CLIENT_SECRET": "client-secret",
        "MBIZ_FORGOT_PASSWORD_URL": "https://mbiz.example/lupa",
        "MBIZ_DEADLINE_SECONDS": str(DEADLINE),
        "ATTEMPT_LEASE_SECONDS": str(LEASE),
        "SETTLE_GRACE_SECONDS": str(GRACE),
        "CALLS_PER_MINUTE": "1000000",
        "BELA_ISSUER": "bela",
        "BELA_AUDIENCE": "satu-pp",
        "BELA_JWT_KEY": KEY,
        "BELA_JWT_ALGORITHM": "HS256",
    }


@cache
def ports() -> range:
    """A stretch of ports that no other process has whose tests choose here, in this checkout or another.

    It is taken by a lock, which the kernel lets go of however this process ends.
    """
    for number in range(STRETCHES):
        lock = Path(tempfile.gettempdir(), f"satu-pp-ports-{number}.lock")
        with contextlib.suppress(OSError):  # another process's, or another user's
            taken = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(taken)
                raise
            return range(FIRST_PORT + number * STRETCH, FIRST_PORT + (number + 1) * STRETCH)
    raise AssertionError("every stretch of ports is taken")


def free_port() -> int:
    while True:
        port = random.choice(ports())
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(true: Callable[[], object], seconds: float = 30, why: str = "it never came true") -> None:
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, why
        time.sleep(0.02)


class Process:
    """`python -m app` with these arguments; all it says goes to `log`, which outlives every start."""

    def __init__(self, folder: Path, arguments: list[str], settings: Mapping[str, str], ready: str) -> None:
        self.log = folder / f"{arguments[0]}.log"
        self._folder = folder
        self._command = [sys.executable, "-m", "app", *arguments]
        self._settings = settings
        self._ready = ready
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self, **settings: str) -> None:
        """Returns once it answers; `settings` are this start's own."""
        self.launch(**settings)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        try:
            wait_until(self._answers, START_SECONDS, "nothing answers")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.log.read_text()[-2000:]}") from None

    def launch(self, **settings: str) -> None:
        assert not self.alive
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env={**self._settings, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def send(self, how: signal.Signals) -> None:
        if self._child is not None:
            self._child.send_signal(how)

    def wait(self, seconds: float = 30) -> int:
        """Its exit status; minus the signal that ended it."""
        assert self._child is not None
        return self._child.wait(seconds)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        if self._child is not None:
            self._child.wait(30)

    def _answers(self) -> bool:
        assert self.alive, "it ended at once"
        try:
            return httpx.get(self._ready, trust_env=False, timeout=5).is_success
        except httpx.TransportError:
            return False


class Pulse(threading.Thread):
    """How late this machine itself is: a heart that should beat every 10 ms, and when it did not."""

    BEAT = 0.01
    PUNCTUAL = 0.002  # seconds

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._beats: deque[tuple[float, float]] = deque(maxlen=6000)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            time.sleep(self.BEAT)
            ended = time.monotonic()
            self._beats.append((ended, ended - began - self.BEAT))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def lateness_since(self, began: float) -> float:
        """All the seconds since then for which nothing of ours came to run though it was due."""
        return sum(late for ended, late in list(self._beats) if ended >= began and late > self.PUNCTUAL)
