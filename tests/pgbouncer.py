"""A PgBouncer before the tests' PostgreSQL, in transaction mode: each transaction may come to another backend."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.postgres import Postgres

PROGRAM = shutil.which("pgbouncer", path=os.defpath + ":/usr/sbin:/usr/local/sbin")

CONFIGURATION = """
[databases]
* = host={server.folder} port={server.port} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {backends}
server_idle_timeout = 5
max_client_conn = 1000
"""


class PgBouncer:
    """`backends` a database; few, so that statements of one connection really come to several of them."""

    def __init__(self, server: Postgres, *, backends: int = 4) -> None:
        self._server = server
        self._backends = backends
        self.port = _free_port()

    def __enter__(self) -> Self:
        assert PROGRAM is not None
        self._folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
        self._folder.chmod(0o755)
        file = self._folder / "pgbouncer.ini"
        file.write_text(CONFIGURATION.format(server=self._server, port=self.port, backends=self._backends))
        self.log = self._folder / "log"
        with self.log.open("wb") as log:
            # As PostgreSQL it does not run as root, and has to reach its socket.
            self._process = subprocess.Popen(
                [PROGRAM, file], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._server.user
            )
        give_up = time.monotonic() + 15
        while not self._answers():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < give_up, self.log.read_text()
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(15)
        shutil.rmtree(self._folder)

    def url(self, database: str) -> str:
        """For SQLAlchemy; with the one setting that a pooler needs."""
        return (
            f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"
            "?ssl=disable&prepared_statement_cache_size=0"
        )

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
