"""Settling as a process of its own: `settle --every`."""

from pathlib import Path

from tests.crash.processes import Process, environment, free_port, wait_until
from tests.crash.world import Worlds

pytest_plugins = ["tests.crash.worlds"]


def test_settling_while_no_service_runs(worlds: Worlds) -> None:
    """What became of a lost answer is found out without anybody asking."""
    world = worlds("sqlite")
    world.ensure_served()
    person = world.person()
    world.fault("register", "drop_after")
    assert (202, "checking") == person.register().said
    world.service.kill()
    settling = Process(world.folder, ["settle", "--every", "1"], world.settings, "")
    settling.launch()
    try:
        wait_until(lambda: not world.open_attempts())
    finally:
        settling.kill()
    assert [] == world.violations()
    assert ["mapped"] == [each.state for each in world.attempts("mapped") if each.satker_id == person.satker]


def test_settling_while_the_database_is_away(tmp_path: Path) -> None:
    """It says so and goes on trying: an outage of the database ends no process that nobody watches."""
    url = f"postgresql+asyncpg://satu@127.0.0.1:{free_port()}/satu"
    settling = Process(tmp_path, ["settle", "--every", "1"], environment(url, free_port()), "")
    settling.launch()
    try:
        wait_until(lambda: 2 <= settling.log.read_text().count('"event": "settling_waits"'))
        assert settling.alive
    finally:
        settling.kill()
