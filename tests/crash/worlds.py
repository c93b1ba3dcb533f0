"""A plugin that the tests with real processes name: worlds that they share, and a summary of what was seen there."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.crash.world import SEED, TALLY, System, World, Worlds, world_on


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    """A world on either database; a new one when promises were broken in the old."""
    running: dict[System, World] = {}
    with contextlib.ExitStack() as stack:

        def world(system: System) -> World:
            if system not in running or running[system].broken:
                folder: Path = tmp_path_factory.mktemp(f"crash-{system}")
                running[system] = stack.enter_context(world_on(system, folder))
            return running[system]

        yield world


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes hands over what it saw; by their group all these tests are on one worker."""
    if TALLY.checks and hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tally"] = asdict(TALLY) | {"answers": dict(TALLY.answers)}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for name, value in getattr(node, "workeroutput", {}).get("tally", {}).items():
        setattr(TALLY, name, value)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TALLY.checks:
        terminalreporter.section(f"crashes and faults, CRASH_SEED={SEED}")
        for line in TALLY.lines():
            terminalreporter.line(line)
