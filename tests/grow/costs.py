"""python -m tests.grow.costs: CPU of the service and of PostgreSQL a call; docs/scaling.md counts with it.

One call at a time: a busy service shares more work, and takes less. CPU time, so that what else the machine does
matters little.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.crash.world import Answer, Person, World, world_on
from tests.grow.people import mapped

CALLS = 300
TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """Seconds of this process, and of its children that have ended."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_name[11:15])) / TICK


def with_children(pid: int) -> float:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu(pid) + sum(cpu(int(child)) for child in children)


def kinds(world: World) -> dict[str, Callable[[int], Answer]]:
    someone = mapped(world)
    new: list[Person] = []

    def add(_: int) -> Answer:
        number = next(world.numbers)
        answer = world.ask("POST", "/v1/satkers", number, {"catalog_id": f"{number:032x}"})
        new.append(Person(world, number, number, answer.body["id"]))
        return answer

    return {
        "GET mapping": lambda _: someone.mapping(),
        "GET own satkers": lambda _: world.ask("GET", "/v1/satkers", someone.number),
        "GET search of a K/L/P/D": lambda n: world.ask("GET", f"/v1/klpd/K1/satkers?q={n}", someone.number),
        "POST entry (mapped)": lambda _: someone.enter(),
        "POST satkers": add,
        "POST register": lambda n: new[n].register(),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, world_on("postgresql", Path(folder)) as world:
        server, service = world.postgres, world.service.pid
        assert server is not None
        assert server.pid is not None
        assert service is not None
        for name, call in kinds(world).items():
            for n in range(20 if name.startswith("GET") else 0):
                call(n)
            began = cpu(service), with_children(server.pid)
            answers = [call(n) for n in range(CALLS)]
            spent = cpu(service) - began[0], with_children(server.pid) - began[1]
            ours, database = (seconds / CALLS * 1000 for seconds in spent)
            good = sum((answer.status or 500) < 300 for answer in answers)
            sys.stdout.write(
                f"{name:26} service {ours:5.2f} ms, database {database:5.2f} ms, {good} of {CALLS} good\n"
            )
            sys.stdout.flush()
        for table in ("pp_satker", "attempt", "access", "history"):
            question = f"SELECT pg_total_relation_size('{table}') / count(*) FROM {table}"  # noqa: S608
            sys.stdout.write(
                f"{table:26} {server.execute(question, 'satker')} bytes a row, with its indexes\n"
            )


if __name__ == "__main__":
    main()
