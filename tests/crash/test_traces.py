"""A password that was typed is found nowhere on disk: no table, no write-ahead log, no log line."""

import pytest

from tests.canary import PASSWORD, files_with_it
from tests.crash.world import SYSTEMS, System, Worlds

pytest_plugins = ["tests.crash.worlds"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_looking_for_the_password_that_everybody_typed(system: System, worlds: Worlds) -> None:
    """After logging in well and badly, registering, a lost answer and kills: not there, though the company is."""
    world = worlds(system)
    world.restart()
    first, second, third = world.person(), world.person(), world.person()
    first.open_account()
    assert [201, 201] == [first.log_in().status, second.register().status]
    assert "invalid_credentials" == second.log_in(first.email, f"{PASSWORD}-salah").word
    world.fault("register", "drop_after")
    assert 202 == third.register().status
    world.kill()
    world.settle_all()
    world.let_go()
    company = f"PT {first.number}".encode()
    folders = [world.folder, *([world.postgres.folder] if world.postgres else [])]
    written = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert any(company in path.read_bytes() for path in written)  # these are the places to look in
    assert [] == [path for folder in folders for path in files_with_it(folder)]
