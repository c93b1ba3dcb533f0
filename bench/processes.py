"""Servers as processes of their own, pinned to a core, with what they cost: CPU, memory, open connections."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build"
CONTENDERS = ROOT / "bench" / "contenders"
SET_UP = BUILD / "bench"  # what bench/setup.sh installed
PYTHON = SET_UP / "bin" / "python"  # the contenders' own environment
SERVER_CORE, LOAD_CORE = 0, 1
START_SECONDS = 60.0
TICKS = os.sysconf("SC_CLK_TCK")


class NotStarted(Exception):
    """A server that ended, or did not answer in time; the text is the end of what it said."""


class Server:
    """A process with its children, listening on `port` of 127.0.0.1, pinned to a core."""

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        port: int,
        core: int = SERVER_CORE,
    ) -> None:
        self.name = name
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._log = BUILD / f"bench-{name.replace(' ', '-')}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command],
                env={"PATH": os.environ["PATH"], **environment},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def await_answer(self, path: str, token: str | None = None, every: float = 0.02) -> float:
        """Seconds of waiting until a GET answers 200."""
        begun = time.monotonic()
        while time.monotonic() - begun < START_SECONDS:
            if self._process.poll() is not None:
                break
            if get_status(self.port, path, token) == 200:
                return time.monotonic() - begun
            time.sleep(every)
        self.stop()
        raise NotStarted(f"{self.name}: {self._log.read_text(errors='replace')[-2000:]}")

    @property
    def pid(self) -> int:
        """The server's own: what pins it has become it."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """User and system time of the process and its children so far."""
        return sum(_cpu(pid) for pid in self._pids())

    def unique_megabytes(self) -> float:
        """Memory that would be free if it ended: private pages of the process and its children (USS)."""
        return sum(_private_kilobytes(pid) for pid in self._pids()) / 1024

    def connections(self) -> int:
        """Established connections that callers hold to its port."""
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        mark = f":{self.port:04X}"
        return sum(line.split()[1].endswith(mark) and line.split()[3] == "01" for line in lines)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # its own session: nobody else's
            self._process.wait()

    def _pids(self) -> Iterator[int]:
        waiting = [self._process.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            try:
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            except FileNotFoundError:
                continue
            waiting += map(int, children.split())


def get_status(port: int, path: str, token: str | None) -> int:
    """The status of a GET; 0 when nobody answers."""
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n{bearer}Connection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(request.encode())
            return int(connection.recv(4096)[9:12] or 0)
    except (OSError, ValueError):
        return 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pin(core: int) -> None:
    """This process and what it starts from now on: the load, PostgreSQL."""
    os.sched_setaffinity(0, {core})


@contextmanager
def on_core(core: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    pin(core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def calibrate(core: int) -> float:
    """Milliseconds that a fixed piece of work takes on this core: the best of twelve, since a hiccup is no drift."""
    with on_core(core):
        return min(_fixed_work() for _ in range(12))


def _fixed_work() -> float:
    begun = time.perf_counter()
    total = 0
    for number in range(200_000):
        total += number * number
    return (time.perf_counter() - begun) * 1000


def python(*arguments: str) -> list[str]:
    """This environment's Python, which has the service."""
    return [sys.executable, *arguments]


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _private_kilobytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))
