"""An operator ends a mapping, or one PP's access to it."""

from typing import Any

import pytest

from tests.admin.desk import (
    BUDI,
    DENIED,
    attempt,
    call,
    log_in,
    map_satker,
    mappings,
    open_registration,
    status,
    told,
)
from tests.invariants import violations
from tests.service import Service, bearer, pp

pytestmark = pytest.mark.anyio


async def test_ending_a_mapping(service: Service) -> None:
    """Everyone's access ends, satker and company are free, and each PP reads that an operator did it."""
    mine, mapping = await map_satker(service, 0)
    theirs = await service.add(service.catalog[0], headers=pp(2))
    await log_in(service, theirs, headers=pp(2))

    answer = await call(service, "DELETE", f"mappings/{mapping}", params={"reason": DENIED})

    assert (204, b"") == (answer.status_code, answer.content)
    assert ("unmapped", "unmapped") == (
        await status(service, mine),
        await status(service, theirs, pp(2)),
    )
    assert ("removed", []) == ((await attempt(service, mapping)).state, await mappings(service))
    assert [
        ("access_ended", "pp-1", DENIED, "ok"),
        ("access_ended", "pp-2", DENIED, "ok"),
        ("unmapped", "pp-1", DENIED, "ok"),
    ] == sorted(await told(service))
    read = (await service.http.get("/v1/history", headers=pp(2))).json()["items"][0]
    assert ("access_ended", "operator") == (read["event"], read["actor"])
    assert "operator-1" not in str(read)
    assert [] == await violations(service.database, await service.truth())

    other = await service.add(service.catalog[1], headers=pp(3))
    await log_in(service, other, headers=pp(3))
    assert "mapped" == await status(service, other, pp(3))


async def test_ending_one_access(service: Service) -> None:
    """The others keep theirs; with the last one the mapping ends."""
    mine, mapping = await map_satker(service, 0)
    theirs = await service.add(service.catalog[0], headers=pp(2))
    await log_in(service, theirs, headers=pp(2))

    async def end(pp_id: str) -> int:
        path = f"mappings/{mapping}/accesses/{pp_id}"
        return (await call(service, "DELETE", path, params={"reason": DENIED})).status_code

    assert 204 == await end("pp-1")
    assert ("mapped_by_other", "mapped") == (
        await status(service, mine),
        await status(service, theirs, pp(2)),
    )
    assert 404 == await end("pp-1")
    assert 204 == await end("pp-2")
    assert "unmapped" == await status(service, theirs, pp(2))
    assert [("access_ended", "pp-1"), ("access_ended", "pp-2"), ("unmapped", "pp-2")] == [
        (event, pp_id) for event, pp_id, _, _ in await told(service)
    ]
    assert [] == await violations(service.database, await service.truth())


async def test_ending_the_access_of_a_pp_with_an_unusual_id(service: Service) -> None:
    """A portal's ids may hold slashes and more."""
    sub = "auth0|bela/119 é"
    await service.make_account(BUDI["email"], "PT Budi")
    headers = bearer(sub=sub)
    satker = await service.add(service.catalog[0], headers=headers)
    await log_in(service, satker, headers=headers)
    [mapping] = await mappings(service)
    assert sub == mapping["accesses"][0]["pp_id"]

    path = f"mappings/{mapping['id']}/accesses/auth0%7Cbela%2F119%20%C3%A9"
    answer = await call(service, "DELETE", path, params={"reason": DENIED})

    assert (204, []) == (answer.status_code, await mappings(service))


@pytest.mark.parametrize(
    "path",
    ["mappings/none", "mappings/none/accesses/pp-1", "mappings/a%00b", "mappings/a%00b/accesses/c%00d"],
)
async def test_ending_what_is_not_there(service: Service, path: str) -> None:
    """Nothing by that id is 404."""
    answer = await call(service, "DELETE", path, params={"reason": DENIED})

    assert (404, "not_found") == (answer.status_code, answer.json()["code"])


async def test_ending_twice(service: Service) -> None:
    """A mapping that ended is no mapping any more."""
    _, mapping = await map_satker(service, 0)
    await call(service, "DELETE", f"mappings/{mapping}", params={"reason": DENIED})
    before = await told(service)

    answer = await call(service, "DELETE", f"mappings/{mapping}", params={"reason": DENIED})

    assert (404, before) == (answer.status_code, await told(service))


async def test_ending_an_open_registration(service: Service) -> None:
    """It is no mapping yet: it has to be resolved."""
    _, opened = await open_registration(service, 0)

    answer = await call(service, "DELETE", f"mappings/{opened}", params={"reason": DENIED})

    assert (409, "link_in_progress") == (answer.status_code, answer.json()["code"])
    assert "uncertain" == (await attempt(service, opened)).state


@pytest.mark.parametrize(
    "query", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "x" * 201}, {"reason": "a\nb"}]
)
@pytest.mark.parametrize("path", ["mappings/m", "mappings/m/accesses/pp-1"])
async def test_ending_without_a_reason(shared_service: Service, path: str, query: dict[str, Any]) -> None:
    """Every act needs its reason."""
    answer = await call(shared_service, "DELETE", path, params=query)

    assert (422, ["reason"]) == (answer.status_code, [error["field"] for error in answer.json()["errors"]])
