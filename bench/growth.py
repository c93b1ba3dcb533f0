"""Growth: the same calls with 10,000, 100,000 and 1,000,000 mappings; and memory over very many requests."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from bench import data, field, reads
from bench.compare import Entry, say
from bench.linking import LogIns
from bench.measure import sample
from bench.processes import Server

READS, LINKING = ("mapping", "own satkers", "history"), "log in and map"
SPARE = 50_000
STEP_SECONDS = 5
AN_HOUR = 3600 * 100  # requests: a hundred a second


def name(call: str, mappings: int) -> str:
    return f"{call}, {mappings:,} mappings"


@contextmanager
def entries(databases: Sequence[data.Filled]) -> Iterator[dict[str, Entry]]:
    """Every call by one connection, so that it is the database's time that shows."""
    found: dict[str, Entry] = {}
    with ExitStack() as stack:
        market = stack.enter_context(field.market(0))
        for database in databases:
            many = database.size.mappings
            server = stack.enter_context(field.service(database, market.url, f"{field.SERVICE} {many}"))
            files = reads.request_files(database)
            reads.await_ready(server, files["mapping"])
            for call in READS:
                found[name(call, many)] = Entry(server, reads.always(files[call]), 1)
            found[name(LINKING, many)] = Entry(server, LogIns(database).next_file, 1)
        yield found


def base(smallest: int) -> Callable[[str], str]:
    return lambda entry: name(entry.split(", ")[0], smallest)


def memory(server: Server, database: data.Filled, requests: int, steps: int) -> list[tuple[int, float]]:
    """(requests so far, USS in MB) after each step, the reads taking turns."""
    files = [*reads.request_files(database).values()]
    done, found = 0, []
    for step in range(steps):
        while done < requests * (step + 1) / steps:
            for file in files:
                took = sample(server, file, 32, STEP_SECONDS)
                done += round(took.rate * STEP_SECONDS)
        found.append((done, server.unique_megabytes()))
        say(f"{done} requests: {found[-1][1]:.1f} MB")
    return found
