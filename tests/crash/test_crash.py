"""The service dies, mbizmarket fails, the person tries again: every promise holds.

CRASH=full runs the whole matrix; CRASH_SEED chooses how people come back, and when the kills from outside hit.
"""

import random
import signal
import time
from contextlib import nullcontext

import pytest

from tests.crash.cases import CHECKING, LONG, Case, matrix, selection
from tests.crash.processes import DEADLINE, wait_until
from tests.crash.world import (
    FULL,
    SEED,
    SYSTEMS,
    TALLY,
    Answer,
    Person,
    System,
    World,
    Worlds,
    repeat_until_linked,
)

pytest_plugins = ["tests.crash.worlds"]

CASES = matrix(SEED) if FULL else selection(SEED)
BUSY = {CHECKING, (503, "mbiz_unavailable"), (504, "mbiz_timeout")}  # what a machine that stalls may cause


@pytest.mark.parametrize("case", CASES, ids=str)
def test_acting_while_the_service_dies_or_mbizmarket_fails(case: Case, worlds: Worlds) -> None:
    """The first answer is the documented one, an honest retry ends well, and nothing is lost on either side."""
    world = worlds(case.system)
    TALLY.cases += 1
    try:
        run(world, case)
        assert [] == world.violations()
    except BaseException:
        world.broken.append(f"in {case}")  # others get a new world
        raise
    finally:
        world.calm()


def run(world: World, case: Case) -> None:
    world.ensure_served()
    person = world.person()
    prepare(person, case)
    if case.armed:
        world.restart(CRASH_AT=case.point)
    elif case.fault:
        world.keep_breakers_closed()
    for call, fault, seconds in case.faults():
        world.fault(call, fault, **({"seconds": seconds} if seconds else {}))
    began = time.monotonic()
    first = try_once(person, case)
    hold(world, case, first)
    if case.armed and not first.cut:
        act(person, case)  # the repeat may be what gets as far as the crash point
    if case.point:
        world.restart()
    come_back(person, case)
    assert_done(person, case)
    if "sleep" in case.fault:  # mbizmarket may still be working on it
        time.sleep(max(0.0, began + 2 * LONG - time.monotonic()))
    world.settle_all()


def prepare(person: Person, case: Case) -> None:
    if case.action != "register":
        person.open_account()
    if case.action == "unlink":
        assert person.log_in().status == 201
    if case.fault.startswith("token:"):
        person.world.trade("POST", "tokens/expire")


def act(person: Person, case: Case) -> Answer:
    match case.action:
        case "register":
            return person.register()
        case "login":
            return person.log_in()
        case "confirm":
            accounts = person.world.truth()["accounts"]
            own = next(account for account in accounts if account["email"] == person.email)
            return person.confirm(own["companies"][0]["company_id"])
        case "unlink":
            return person.unlink()


def try_once(person: Person, case: Case) -> Answer:
    chance = random.Random(f"{SEED}-{case}")
    slow = any(seconds for _, _, seconds in case.faults())
    moment = chance.uniform(0, DEADLINE if slow else 0.08)
    with person.world.killed_after(moment) if case.point == "kill" else nullcontext():
        return act(person, case)


def hold(world: World, case: Case, first: Answer) -> None:
    """The first answer against what the case calls for, and whether the crash point was reached."""
    if first.cut:
        assert case.point, f"the service went away by itself: {world.service.log.read_text()[-2000:]}"
        wait_until(lambda: not world.service.alive)
        TALLY.killed += case.armed
        return
    stalled = BUSY if first.seconds > DEADLINE / 3 else set()
    assert first.said in case.expected() | stalled
    assert not case.must_die or stalled, "it went past the crash point"
    if not case.point and case.action != "unlink" and not stalled:
        waiting = {fault["call"] for fault in world.truth()["faults_waiting"]}
        assert not waiting - {"find_registration"}, "the fault was never met"


def come_back(person: Person, case: Case) -> None:
    world = person.world
    match case.way:
        case "settle":
            world.settle_all()
        case "loop":
            wait_until(lambda: not world.open_attempts(), 60, "serve itself never settled it")
        case "entry":
            wait_until(lambda: person.enter().word not in ("wait", ""), 60, "entry says wait for ever")
        case "login":
            wait_until(lambda: person.log_in(person.new_email).word != "link_in_progress", 60)
    repeat_until_linked(lambda: act(person, case))


def assert_done(person: Person, case: Case) -> None:
    """The person has what they came for, once, and both sides say the same."""
    mapping = person.mapping().body
    if case.action == "unlink":
        assert (None, "unmapped") == (mapping["company"], mapping["status"])
        assert 201 == repeat_until_linked(person.log_in).status
        return
    email = person.new_email if case.action == "register" else person.email
    truth = person.world.truth()
    (account,) = (each for each in truth["accounts"] if each["email"] == email)
    (company,) = account["companies"]
    assert ("mapped", case.action) == (mapping["status"], mapping["via"])
    assert company["company_id"] == mapping["company"]["company_id"]
    made = [each for each in truth["registrations"] if each["account_id"] == account["account_id"]]
    assert (1 if case.action == "register" else 0) == len(made)


@pytest.mark.parametrize("point", ["before_commit", "after_commit"] if FULL else ["before_commit"])
@pytest.mark.parametrize("system", SYSTEMS if FULL else SYSTEMS[:1])
def test_settling_while_it_is_killed(system: System, point: str, worlds: Worlds) -> None:
    """What a killed settle leaves, the next one finishes."""
    world = worlds(system)
    world.ensure_served()
    TALLY.cases += 1
    person = world.person()
    world.fault("register", "drop_after")
    assert CHECKING == person.register().said
    world.kill()  # or it might settle first
    assert -signal.SIGKILL == world.settle(CRASH_AT=point)
    TALLY.killed += 1
    world.settle_all()
    world.ensure_served()
    assert "mapped" == person.mapping().body["status"]
    assert [] == world.violations()
