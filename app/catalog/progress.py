"""The progress of an import: a bar on a terminal, a plain line now and then anywhere else."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bars

from app.catalog.sources import Progress

EVERY_SECONDS = 5


@contextmanager
def console_progress() -> Iterator[Progress]:
    """Shows on standard error what `import_satkers` tells."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(console)
        return
    with Bars(console=console, transient=True) as bars:
        tasks = {doing: bars.add_task(doing, total=None) for doing in ("reading", "writing")}
        yield lambda doing, done, total: bars.update(tasks[doing], completed=done, total=total)


def _plain(console: Console) -> Progress:
    last = time.monotonic()

    def show(doing: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY_SECONDS:
            last = time.monotonic()
            console.print(f"{doing}: {100 * done // max(total, 1)} %", highlight=False)

    return show
