"""A password that was typed is found nowhere on disk: no table, no write-ahead log, no log line."""

import base64
from pathlib import Path

import pytest

from tests.crash.world import CANARY, SYSTEMS, System, World, Worlds

pytest_plugins = ["tests.crash.worlds"]


def spellings(text: str) -> set[bytes]:
    """As it is, and as it looks inside hexadecimal, UTF-16 and base64, wherever a group of three bytes begins."""
    raw = text.encode()
    shifted = (base64.b64encode(raw[start : start + (len(raw) - start) // 3 * 3]) for start in range(3))
    return {raw, raw.hex().encode(), text.encode("utf-16-le"), *shifted}


def files(world: World) -> list[Path]:
    """Everything that the processes have written: both databases with their logs, and what was printed."""
    folders = [world.folder, *([world.postgres.folder] if world.postgres else [])]
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def holding(world: World, text: str) -> list[str]:
    wanted = spellings(text)
    return [str(path) for path in files(world) if any(each in path.read_bytes() for each in wanted)]


@pytest.mark.parametrize("system", SYSTEMS)
def test_looking_for_the_password_that_everybody_typed(system: System, worlds: Worlds) -> None:
    """After logging in well and badly, registering, a lost answer and kills: not there, though the company is."""
    world = worlds(system)
    world.restart()
    first, second, third = world.person(), world.person(), world.person()
    first.open_account()
    assert [201, 201] == [first.log_in().status, second.register().status]
    assert "invalid_credentials" == second.log_in(first.email, f"{CANARY}-salah").word
    world.fault("register", "drop_after")
    assert 202 == third.register().status
    world.kill()
    world.settle_all()
    world.let_go()
    assert holding(world, f"PT {first.number}")  # this search finds what is there
    assert [] == holding(world, CANARY)
