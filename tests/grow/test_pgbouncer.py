"""The API's own tests with a PgBouncer in transaction mode between the service and its database."""

import os
import subprocess
import sys

import pytest

from tests.crash.processes import ROOT
from tests.grow.conftest import FIGURES
from tests.grow.fleet import FULL
from tests.pgbouncer import PROGRAM

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
def test_the_api_through_pgbouncer() -> None:
    """As without it; all that is set is `prepared_statement_cache_size=0` in DATABASE_URL."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-k",
            KIND,
            *(ALL if FULL else QUICK),
        ],
        cwd=ROOT,
        env=os.environ | {"THROUGH_PGBOUNCER": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout[-5000:]
    FIGURES.append(f"through PgBouncer: {done.stdout.strip().splitlines()[-1]}")
