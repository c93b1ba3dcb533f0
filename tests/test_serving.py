"""How the server process is set up, looked at from within one."""

import subprocess
import sys
from pathlib import Path

from tests.test_logs import environment

LOOK = """
import gc, weakref
from app.serving import app_alone

class Cycle:
    def __init__(self):
        self.itself = self

app = app_alone()
frozen, thresholds = gc.get_freeze_count(), gc.get_threshold()
made = Cycle()
alive = weakref.ref(made)
del made
gc.collect()
print(frozen > 50_000, thresholds, alive() is None)
"""


def test_what_the_collector_walks_through(sqlite_url: str) -> None:
    """What is there from the start is left alone; what requests leave behind in cycles is still found."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env=environment(sqlite_url),
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("True (50000, 20, 100) True\n", "") == (done.stdout, done.stderr)
