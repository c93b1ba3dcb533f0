"""What people do at the fleet while something happens to it, and what they were promised."""

import itertools
import threading
from collections.abc import Callable

from tests.crash.world import Answer, Person, World

LINKED = {(200, "mapped"), (201, "mapped")}


class Promises:
    """Mappings that somebody was told of: satker's catalog place and company."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[int, str] = {}

    def note(self, person: Person, answer: Answer) -> Answer:
        if answer.said in LINKED:
            with self._lock:
                self._told[person.place] = answer.body["company"]["company_id"]
        return answer

    def __len__(self) -> int:
        return len(self._told)

    def broken(self, world: World) -> list[str]:
        """Those that the database no longer knows."""
        kept = {int(row.catalog_id, 16): row.company_id for row in world.attempts("mapped")}
        return [f"{place}: {company}" for place, company in self._told.items() if kept.get(place) != company]


def reading(person: Person) -> Callable[[], Answer]:
    def read() -> Answer:
        return person.mapping()

    return read


def linking(world: World, promises: Promises) -> Callable[[], Answer]:
    """Somebody new each time: puts a satker on the list and registers it, or logs in."""
    turns = itertools.cycle(["register", "log in"])

    def link() -> Answer:
        number = next(world.numbers)
        added = world.ask("POST", "/v1/satkers", number, {"catalog_id": f"{number:032x}"})
        if added.status != 201:
            return added
        person = Person(world, number, number, str(added.body["id"]))
        if next(turns) == "register":
            return promises.note(person, person.register())
        person.open_account()
        return promises.note(person, person.log_in())

    return link


def mapped(world: World) -> Person:
    person = world.person()
    person.open_account()
    assert 201 == person.log_in().status
    return person
