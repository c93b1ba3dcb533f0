"""Runs of several checkouts, and workers of one, at a time on one machine."""

import subprocess
import sys

from tests.crash.processes import ROOT, ports

OTHER = "from tests.crash.processes import ports; print(ports().start)"


def test_choosing_ports_beside_another_run() -> None:
    """Each process of tests has a stretch of its own."""
    ours = ports()
    other = subprocess.run([sys.executable, "-c", OTHER], cwd=ROOT, check=True, capture_output=True)
    assert int(other.stdout) not in ours
