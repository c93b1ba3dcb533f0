"""A primary whose machine loses its power says nothing: what is not acknowledged is given up in time."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.crash.processes import ROOT
from tests.grow.conftest import FIGURES
from tests.grow.fleet import FULL

NETWORK = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
able = os.geteuid() == 0 and all(map(shutil.which, ("unshare", "ip", "iptables")))


@pytest.mark.skipif(not (FULL and able), reason="make grow; needs root, unshare and iptables")
def test_the_primarys_machine_loses_its_power() -> None:
    """Changes go on soon after the promotion, though nobody told the service; no caller waits for long."""
    command = (*NETWORK, sys.executable, "-m", "tests.grow.dead_machine")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)
    assert 0 == done.returncode, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["change_after"] < 30
    assert found["longest_wait"] < 15
    FIGURES.append(
        f"primary's machine dead: first change {found['change_after']:.1f} s after the promotion, nobody waited longer "
        f"than {found['longest_wait']:.1f} s"
    )
