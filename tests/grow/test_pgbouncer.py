"""The API's own tests with a PgBouncer in transaction mode between the service and its database."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext

import pytest

from tests.crash.processes import ROOT
from tests.grow.conftest import FIGURES
from tests.grow.fleet import FULL
from tests.pgbouncer import PROGRAM

PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--verbose")
SECONDS = 1500.0 if FULL else 240.0  # it takes 210 and 15 on two idle cores
QUICK = ["tests/test_flow.py", "tests/test_races.py"]
# These two end the service's own connections at the server, which knows only PgBouncer's.
KIND = "postgresql and not connection_was_lost and not restarts_under_reads"
# For every day: without the races that others are much like.
if not FULL:
    KIND += " and not replacing and not many_emails"
ALL = [
    *("tests/test_flow.py", "tests/test_races.py", "tests/test_satkers.py", "tests/test_state_machine.py"),
    *("tests/mapping", "tests/catalog", "tests/history", "tests/admin", "tests/test_privacy.py"),
    *("tests/test_check.py", "tests/test_migrations.py", "tests/test_expand_contract.py"),
]


@pytest.mark.skipif(PROGRAM is None, reason="needs pgbouncer (Debian: apt-get install pgbouncer)")
def test_the_api_through_pgbouncer(capfd: pytest.CaptureFixture[str]) -> None:
    """As without it; all that is set is `prepared_statement_cache_size=0` in DATABASE_URL."""
    command = (*PYTEST, "-k", KIND, *(ALL if FULL else QUICK))
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"THROUGH_PGBOUNCER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as inner:
        too_long = threading.Timer(SECONDS, inner.send_signal, [signal.SIGINT])  # it ends what it has started
        too_long.start()
        assert inner.stdout
        line = ""
        with capfd.disabled() if FULL else nullcontext():
            for line in inner.stdout:
                print(line, end="", flush=True)  # noqa: T201 - at length it is seen as it comes, else if it fails
        too_long.cancel()
    assert 0 == inner.returncode
    FIGURES.append(f"through PgBouncer: {line.strip()}")
