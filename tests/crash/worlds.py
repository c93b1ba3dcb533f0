"""A plugin that the tests with real processes name: worlds that they share, and a summary of what was seen there."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.world import SEED, TALLY, System, World, Worlds, world_on
from tests.workers import told


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


told[f"crashes and faults, CRASH_SEED={SEED}"] = lambda: TALLY.lines() if TALLY.checks else []
