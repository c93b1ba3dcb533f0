"""python -m tests.grow.dead_machine: the primary's machine loses its power, so that nobody says that it is gone.

To be run as root in a network of its own (unshare --net): iptables drops what goes to the primary and comes from it.
Prints how long it took until a change was done after the standby's promotion, and the longest that a caller waited.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from app.cli import migrate_database

from tests.conftest import fill_catalog
from tests.grow.pair import Standby, replicated, several_hosts
from tests.postgres import Postgres
from tests.service import Service, running

CALLERS = 8
FINE = {200, 204, 503}


async def call(
    service: Service, satker: str, over: asyncio.Event, seen: list[tuple[float, float, str, int]]
) -> None:
    path = f"/v1/satkers/{satker}"
    while not over.is_set():
        for method, where in (("GET", f"{path}/mapping"), ("GET", path), ("DELETE", f"{path}/mapping")):
            began = time.monotonic()
            status = (await service.http.request(method, where)).status_code
            seen.append((time.monotonic(), time.monotonic() - began, method, status))
            await asyncio.sleep(0.02)


def drop(port: int) -> None:
    for direction in ("--dport", "--sport"):
        rule = ("-A", "OUTPUT", "-o", "lo", "-p", "tcp", direction, str(port), "-j", "DROP")
        subprocess.run(["iptables", *rule], check=True)


async def trial(primary: Postgres, standby: Standby, folder: Path) -> dict[str, float]:
    seen: list[tuple[float, float, str, int]] = []
    over = asyncio.Event()
    async with running(several_hosts("satker", primary, standby), folder) as service:
        satker = await service.add((await fill_catalog(service.database))[0])
        callers = [asyncio.create_task(call(service, satker, over, seen)) for _ in range(CALLERS)]
        await asyncio.sleep(1)
        drop(primary.port)
        died = time.monotonic()
        await asyncio.sleep(2)
        await asyncio.to_thread(standby.promote)
        promoted = time.monotonic()
        while not any(
            at > promoted and (method, status) == ("DELETE", 204) for at, _, method, status in seen
        ):
            assert time.monotonic() < promoted + 60, "no change"
            await asyncio.sleep(0.05)
        await asyncio.sleep(3)
        over.set()
        await asyncio.gather(*callers)
    assert {status for *_, status in seen} <= FINE, {status for *_, status in seen}
    after = [at for at, _, method, status in seen if at > promoted and (method, status) == ("DELETE", 204)]
    longest = max(took for at, took, *_ in seen if at > died)
    return {"change_after": min(after) - promoted, "longest_wait": longest}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Postgres(tcp=True) as primary:
        primary.create_database("satker")
        migrate_database(primary.url("satker"))
        with replicated(primary) as standby:
            found = asyncio.run(trial(primary, standby, Path(folder)))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
