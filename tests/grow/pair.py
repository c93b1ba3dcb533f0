"""A PostgreSQL with a standby that has every commit before it is acknowledged."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash.processes import wait_until
from tests.postgres import TEMPORARY, Postgres


class Standby(Postgres):
    """Follows `primary`, answers reads, and takes writes once it is promoted."""

    def __init__(self, primary: Postgres) -> None:
        super().__init__(tcp=True)
        self._primary = primary

    def __enter__(self) -> "Standby":
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir=TEMPORARY))
        try:
            if self.user:
                os.chown(self.folder, self.user["user"], self.user["group"])
            source = (
                f"--host={self._primary.folder}",
                f"--port={self._primary.port}",
                "--username=postgres",
            )
            self.run(
                "pg_basebackup",
                *source,
                f"--pgdata={self.data}",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
            )
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def promote(self) -> None:
        """Returns when it takes writes."""
        assert "t" == self.execute("SELECT pg_promote()")


@contextmanager
def replicated(primary: Postgres) -> Iterator[Standby]:
    """`primary` waits with every commit until its standby has it on disk."""
    with Standby(primary) as standby:
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.execute("SELECT pg_reload_conf()")
        state = "SELECT sync_state FROM pg_stat_replication"
        wait_until(lambda: "sync" == primary.execute(state), 60, "the standby does not follow")
        yield standby


def several_hosts(database: str, *servers: Postgres) -> str:
    """For SQLAlchemy, over TCP."""
    places = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"postgresql+asyncpg://postgres@{places}/{database}?ssl=disable"
