"""make bench-profile: where the CPU time of a request goes, by py-spy, as a picture with a panel for each kind of call.

What a request takes is measured without py-spy, which only says how it is shared out. Writes build/bench-profile-*.txt
(py-spy's raw format) and docs/images/profile.png.
"""

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import data, field, reads
from bench.linking import LogIns
from bench.measure import sample
from bench.processes import BUILD, LOAD_CORE, PYTHON, ROOT, Server

SIZE = data.Size(200_000, 60_000)
CONNECTIONS = 32
SECONDS = 10
PY_SPY = PYTHON.parent / "py-spy"


def record(server: Server, requests: Path, into: Path) -> None:
    """py-spy's samples of the server's own CPU time under load."""
    load = [
        *("taskset", "--cpu-list", str(LOAD_CORE), "wrk", "--threads", "1"),
        *("--connections", str(CONNECTIONS), "--duration", f"{SECONDS + 2}s"),
        *("--script", "bench/load.lua", server.url, "--", str(requests)),
    ]
    with subprocess.Popen(load, cwd=ROOT, stdout=subprocess.DEVNULL):
        time.sleep(1)
        spy = [str(PY_SPY), "record", "--pid", str(server.pid), "--duration", str(SECONDS)]
        spy += ["--rate", "200", "--gil", "--format", "raw", "--output", str(into)]
        subprocess.run(spy, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    with data.postgres() as postgres:
        database = data.fill(postgres, "profile", SIZE)
        files, log_ins = reads.request_files(database), LogIns(database)
        calls: Mapping[str, Callable[[], Path]] = {
            "mapping status": reads.always(files["mapping"]),
            "own satkers": reads.always(files["own satkers"]),
            "log in and map": lambda: log_ins.next_file(30_000),
        }
        found = []
        with field.market(0) as market, field.service(database, market.url) as server:
            reads.await_ready(server, files["mapping"])
            for name, requests in calls.items():
                path = BUILD / f"bench-profile-{name.replace(' ', '-')}.txt"
                cpu = sample(server, requests(), CONNECTIONS, SECONDS).cpu
                record(server, requests(), path)
                found.append(f"{path}:{cpu:.0f}")
    picture = ROOT / "docs" / "images" / "profile.png"
    plot = [str(PYTHON), str(ROOT / "bench" / "plot.py"), "profile", *found, str(picture)]
    subprocess.run(plot, check=True)


if __name__ == "__main__":
    main()
