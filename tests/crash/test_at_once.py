"""Several processes at one unfinished registration, and a database that goes away in the middle of one."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.crash.processes import DEADLINE, wait_until
from tests.crash.world import SYSTEMS, System, Worlds, repeat_until_linked

pytest_plugins = ["tests.crash.worlds"]

CHECKING = (202, "checking")
# What each of them may hear, on a machine that stalls too.
TRUE = {
    (200, "mapped"),
    (201, "mapped"),
    CHECKING,
    (409, "link_in_progress"),
    (200, "wait"),
    (200, "open_mbizmarket"),
}
TRUE |= {(503, "mbiz_unavailable"), (504, "mbiz_timeout")}


def test_the_database_goes_away_after_mbizmarket_has_made_the_account(worlds: Worlds) -> None:
    """503 `database_unavailable`; once it is back, the row of the intent is enough to finish."""
    world = worlds("postgresql")
    world.ensure_served()
    database = world.postgres
    assert database is not None
    person = world.person()
    world.fault("register", "sleep_after", seconds=DEADLINE / 2)
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(person.register, prompt=False)
        wait_until(lambda: world.made_for(person.new_email))
        database.kill()
        assert (503, "database_unavailable") == answer.result().said
    database.start()
    repeat_until_linked(person.register)
    assert "mapped" == person.mapping().body["status"]
    assert 1 == len(world.made_for(person.new_email))
    assert [] == world.violations()


@pytest.mark.parametrize("system", SYSTEMS)
def test_everybody_takes_up_one_uncertain_registration(system: System, worlds: Worlds) -> None:
    """Repeats, log-ins, entries and two settles in processes of their own: one mapping, once, and nobody is lied to."""
    world = worlds(system)
    world.ensure_served()
    person = world.person()
    world.fault("register", "drop_after")
    assert CHECKING == person.register().said
    with ThreadPoolExecutor(16) as threads:
        settles = [threads.submit(world.settle) for _ in range(2)]
        calls = [person.register, lambda: person.log_in(person.new_email), person.enter] * 4
        answers = [threads.submit(call) for call in calls]
        said = {answer.result().said for answer in answers}
        assert [0, 0] == [settle.result() for settle in settles]
    assert set() == said - TRUE
    repeat_until_linked(person.register)
    assert 1 == len(world.made_for(person.new_email))
    assert [] == world.violations()
