"""Anything that people, operators and crashes may do, in any order: every promise holds after each step.

CRASH_SEED chooses the orders; MACHINES how many are tried on each database.
"""

import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.canary import PASSWORD
from tests.crash.processes import DEADLINE, wait_until
from tests.crash.world import SEED, SYSTEMS, Answer, Person, System, World, Worlds

pytest_plugins = ["tests.crash.worlds"]

MACHINES = int(os.environ.get("MACHINES", "4"))
pytestmark = pytest.mark.timeout(75 * MACHINES)  # seconds
MOST = 1  # kills, and settles, in one order of steps: each costs seconds

WHO = st.sampled_from(["first", "colleague", "stranger"])  # the first two serve one satker
FAULTS = st.sampled_from(
    [
        *(
            ("register", fault)
            for fault in ("drop_after", "503_before", "garbage", "other_email", "sleep_after")
        ),
        *(("find_registration", fault) for fault in ("drop_after", "lag", "other_reference")),
        *(("login", fault) for fault in ("drop_after", "html_200", "two_companies")),
        *(("search", fault) for fault in ("500_after", "expired_token", "missing_id")),
        *(("session", fault) for fault in ("redirect_308", "expired_token")),
    ]
)
DOCUMENTED = {200, 201, 202, 204, 404, 409, 422, 429, 502, 503, 504}


class Portal(RuleBasedStateMachine):
    """`linked` is what was acknowledged and not given back: the company of whoever has access."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.kills = self.settles = 0
        numbers = [next(world.numbers) for _ in range(3)]
        self.people = {
            "first": Person(world, numbers[0], numbers[0], ""),
            "colleague": Person(world, numbers[1], numbers[0], ""),
            "stranger": Person(world, numbers[2], numbers[2], ""),
        }
        self.companies = {name: person.open_account() for name, person in self.people.items()}
        self.linked: dict[str, str] = {}
        for name in self.people:
            self.add(name)

    @rule(who=WHO)
    def add(self, who: str) -> None:
        person = self.people[who]
        added = self.world.add(person.number, person.place)
        assert (added is None) == bool(person.satker)
        self.people[who] = added or person

    @rule(who=WHO, unlink=st.booleans())
    def remove(self, who: str, unlink: bool) -> None:
        person = self.people[who]
        path = f"/v1/satkers/{person.satker or 'none'}{'?unlink=true' if unlink else ''}"
        if self.world.ask("DELETE", path, person.number).status == 204:
            self.people[who] = replace(person, satker="")
            self.linked.pop(who, None)

    @rule(who=WHO)
    def unlink(self, who: str) -> None:
        if self.people[who].satker and self.people[who].unlink().status == 204:
            self.linked.pop(who, None)

    @rule(who=WHO)
    def look_up(self, who: str) -> None:
        assert self.people[who].look_up().status in DOCUMENTED

    @rule(who=WHO)
    def enter(self, who: str) -> None:
        if self.people[who].satker:
            assert self.people[who].enter().status in DOCUMENTED

    @rule(who=WHO, whose=WHO)
    def confirm(self, who: str, whose: str) -> None:
        if self.people[who].satker:
            self.note(who, self.people[who].confirm(self.companies[whose]))

    @rule(who=WHO, whose=WHO, registered=st.booleans())
    def log_in(self, who: str, whose: str, registered: bool) -> None:
        owner = self.people[whose]
        if self.people[who].satker:
            self.note(who, self.people[who].log_in(owner.new_email if registered else owner.email))

    @rule(who=WHO)
    def log_in_badly(self, who: str) -> None:
        if self.people[who].satker:
            answer = self.people[who].log_in(password=f"{PASSWORD}-salah")
            assert answer.status in DOCUMENTED - {200, 201, 202}

    @rule(who=WHO, times=st.integers(1, 3))
    def register(self, who: str, times: int) -> None:
        for _ in range(times if self.people[who].satker else 0):
            self.note(who, self.people[who].register())

    @rule(which=FAULTS)
    def trouble(self, which: tuple[str, str]) -> None:
        call, fault = which
        seconds = {"seconds": DEADLINE / 2} if fault in ("sleep_after", "lag") else {}
        self.world.fault(call, fault, **seconds)

    @rule(who=WHO, status=st.sampled_from(["active", "inactive"]))
    def close_or_rename(self, who: str, status: str) -> None:
        change = {"status": status, "name": f"PT {who} {status}"}
        self.world.trade("POST", f"companies/{self.companies[who]}", change)

    @precondition(lambda self: self.kills < MOST)
    @rule(who=WHO, share=st.floats(0, 1))
    def register_and_kill(self, who: str, share: float) -> None:
        """kill -9 at any moment of a registration that takes a while."""
        self.kills += 1
        self.world.fault("register", "sleep_after", seconds=DEADLINE / 4)
        if self.people[who].satker:
            with self.world.killed_after(share * DEADLINE / 3):
                self.note(who, self.people[who].register())
        self.world.restart()

    @precondition(lambda self: self.settles < MOST)
    @rule()
    def settle(self) -> None:
        self.settles += 1
        assert 0 == self.world.settle()

    def note(self, who: str, answer: Answer) -> None:
        """An answer that says mapped counts from now on; one company at a satker leaves no access to another."""
        assert answer.cut or answer.status in DOCUMENTED
        if answer.status not in (200, 201):
            return
        company = answer.body["company"]["company_id"]
        there = [name for name in self.linked if self.people[name].place == self.people[who].place]
        for name in there:
            if self.linked[name] != company:
                del self.linked[name]
        self.linked[who] = company

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        for who, company in self.linked.items():
            mapping = self.people[who].mapping().body
            assert ("mapped", company) == (mapping["status"], mapping["company"]["company_id"])

    @invariant()
    def every_promise_holds(self) -> None:
        assert [] == self.world.broken_now(settled=False)

    def teardown(self) -> None:
        self.world.calm()
        for person in self.people.values():
            if person.satker and person.mapping().body["status"] == "checking":
                wait_until(lambda person=person: person.enter().word not in ("wait", ""))  # type: ignore[misc]
        self.world.settle_all()
        assert [] == self.world.violations()


@pytest.mark.parametrize("system", SYSTEMS)
def test_doing_anything_in_any_order(system: System, worlds: Worlds) -> None:
    """What was acknowledged stays, and every promise holds, after each step and at the end."""
    world = worlds(system)
    world.ensure_served()

    @seed(SEED)
    class Here(Portal):
        def __init__(self) -> None:
            super().__init__(world)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=MACHINES,
            stateful_step_count=20,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
