"""An operator moves a mapping to another satker; the accesses go along."""

import asyncio
from typing import Any

import httpx
import pytest
from app.admin import moving
from app.mapping import standing as standings
from app.mapping import transitions
from app.models import CatalogSatker
from app.satker.schemas import CompanyOut
from sqlalchemy import update

from tests.admin.desk import (
    BUDI,
    attempt,
    call,
    log_in,
    map_satker,
    mappings,
    open_registration,
    satkers,
    status,
    told,
)
from tests.invariants import violations
from tests.mapping.people import Person, said
from tests.mapping.wires import at_the_lock, replica
from tests.service import Service, pp, registration

pytestmark = pytest.mark.anyio

WHY = "salah satker"


async def move(service: Service, mapping: str, catalog_id: str) -> httpx.Response:
    body = {"catalog_id": catalog_id, "reason": WHY}
    return await call(service, "POST", f"mappings/{mapping}/move", json=body)


async def whole(service: Service) -> None:
    assert [] == await violations(service.database, await service.truth())


async def test_moving_a_mapping(service: Service) -> None:
    """Every PP with access gets the new satker in place of the old, under the same id and with the access."""
    mine, mapping = await map_satker(service, 0)
    theirs = await service.add(service.catalog[0], headers=pp(2))
    await log_in(service, theirs, headers=pp(2))
    outsider = await service.add(service.catalog[0], headers=pp(3))

    answer = await move(service, mapping, service.catalog[5])

    assert (200, service.catalog[5]) == (answer.status_code, answer.json()["satker"]["catalog_id"])
    assert answer.json() == (await mappings(service))[0]
    assert {mine: (service.catalog[5], True)} == await satkers(service, "pp-1")
    assert {theirs: (service.catalog[5], True)} == await satkers(service, "pp-2")
    assert {outsider: (service.catalog[0], True)} == await satkers(service, "pp-3")
    assert ("mapped", "mapped", "unmapped") == (
        await status(service, mine),
        await status(service, theirs, pp(2)),
        await status(service, outsider, pp(3)),
    )
    assert [("moved", "pp-1", WHY, "ok"), ("moved", "pp-2", WHY, "ok")] == await told(service)
    read = (await service.http.get("/v1/history")).json()["items"][0]
    opened = (await service.http.post(f"/v1/satkers/{mine}/entry")).json()
    assert "open_mbizmarket" == opened["next_step"]
    assert ("Satker Lembaga Dua 1", "PT Budi", mine) == (
        read["satker_name"],
        read["company_name"],
        read["satker_id"],
    )
    await whole(service)


async def test_moving_to_a_satker_that_a_pp_has(service: Service) -> None:
    """That one is kept, primary if the old one was, and the old one goes."""
    old, mapping = await map_satker(service, 0)
    kept = await service.add(service.catalog[1])

    answer = await move(service, mapping, service.catalog[1])

    assert 200 == answer.status_code
    assert {kept: (service.catalog[1], True)} == await satkers(service, "pp-1")
    assert "mapped" == await status(service, kept)
    assert 404 == (await service.http.get(f"/v1/satkers/{old}")).status_code
    assert kept == (await attempt(service, mapping)).satker_id
    assert [("satker_removed", WHY), ("moved", WHY), ("made_primary", WHY)] == [
        (event, reason) for event, _, reason, _ in await told(service)
    ]
    await whole(service)


async def test_moving_to_a_satker_that_is_primary(service: Service) -> None:
    """A PP's primary satker stays it."""
    kept = await service.add(service.catalog[1])
    _, mapping = await map_satker(service, 0)

    assert 200 == (await move(service, mapping, service.catalog[1])).status_code
    assert {kept: (service.catalog[1], True)} == await satkers(service, "pp-1")
    assert ["satker_removed", "moved"] == [event for event, _, _, _ in await told(service)]


async def test_moving_to_where_it_is(service: Service) -> None:
    """A repeated move changes nothing and tells nothing."""
    mine, mapping = await map_satker(service, 0)
    assert 200 == (await move(service, mapping, service.catalog[1])).status_code
    before = await told(service)

    assert 200 == (await move(service, mapping, service.catalog[1])).status_code
    assert before == await told(service)
    assert {mine: (service.catalog[1], True)} == await satkers(service, "pp-1")


async def test_moving_to_a_taken_satker(service: Service) -> None:
    """One with a company, and one with an open registration, are refused, and nothing moves."""
    mine, mapping = await map_satker(service, 0)
    other, _ = await map_satker(service, 1, "dua@lain.example", "PT Dua")
    opened, _ = await open_registration(service, 2)
    before = await satkers(service, "pp-1")

    mapped = await move(service, mapping, service.catalog[1])
    checking = await move(service, mapping, service.catalog[2])

    assert (409, "satker_already_mapped") == (mapped.status_code, mapped.json()["code"])
    assert (409, "link_in_progress") == (checking.status_code, checking.json()["code"])
    assert (before, []) == (await satkers(service, "pp-1"), await told(service))
    assert ("mapped", "mapped", "checking") == (
        await status(service, mine),
        await status(service, other),
        await status(service, opened),
    )
    await whole(service)


async def test_moving_what_is_no_mapping(service: Service) -> None:
    """Unknown and ended ones are 404, an open registration 409; an unknown or hidden satker is 404 too."""
    _, mapping = await map_satker(service, 0)
    _, opened = await open_registration(service, 1)
    async with service.database.begin() as tx:
        await tx.execute(
            update(CatalogSatker).where(CatalogSatker.id == service.catalog[3]).values(active=False)
        )
    for mapping_id, catalog_id, expected in (
        ("none", service.catalog[4], (404, "not_found")),
        ("a%00b", service.catalog[4], (404, "not_found")),
        (opened, service.catalog[4], (409, "link_in_progress")),
        (mapping, "none", (404, "not_found")),
        (mapping, service.catalog[3], (404, "not_found")),
    ):
        answer = await move(service, mapping_id, catalog_id)
        assert expected == (answer.status_code, answer.json()["code"])
    await call(service, "DELETE", f"mappings/{mapping}", params={"reason": WHY})
    assert 404 == (await move(service, mapping, service.catalog[4])).status_code


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": WHY}, "catalog_id"),
        ({"catalog_id": "x"}, "reason"),
        ({"catalog_id": "x", "reason": " "}, "reason"),
        ({"catalog_id": "x", "reason": WHY, "force": True}, "force"),
    ],
)
async def test_moving_without_saying_where_or_why(
    shared_service: Service, body: dict[str, Any], field: str
) -> None:
    """Both are needed, and nothing else is taken."""
    answer = await call(shared_service, "POST", "mappings/m/move", json=body)

    assert (422, [field]) == (answer.status_code, [error["field"] for error in answer.json()["errors"]])


async def test_moving_while_somebody_is_joining(service: Service) -> None:
    """Who joins between the look and the move goes along too."""
    _, mapping = await map_satker(service, 0)
    theirs = await service.add(service.catalog[0], headers=pp(2))
    async with replica(service) as other, other.begin() as tx:  # a log in of PP 2 that has yet to commit
        standing = await standings.lock(tx, "pp-2", theirs)
        company = CompanyOut(company_id=standing.row.company_id, name="PT Budi")
        await transitions.grant(
            tx, standing, attempt_id=mapping, company=company, via="login", account_id=None
        )
        mover = await at_the_lock(service, move(service, mapping, service.catalog[5]))

    assert 200 == (await mover).status_code
    assert {theirs: (service.catalog[5], True)} == await satkers(service, "pp-2")
    assert "mapped" == await status(service, theirs, pp(2))
    await whole(service)


async def test_joining_while_a_mapping_is_being_moved(service: Service) -> None:
    """Who comes second has proven an account of a company that is another satker's by then."""
    _, mapping = await map_satker(service, 0)
    theirs = await service.add(service.catalog[0], headers=pp(2))
    async with replica(service) as other, other.begin() as tx:  # a move that has yet to commit
        await moving._move(tx, mapping, service.catalog[5])
        joining = await at_the_lock(service, Person(service, theirs, pp(2)).log_in(BUDI["email"]))

    assert (409, "company_already_mapped") == said(await joining)
    assert "unmapped" == await status(service, theirs, pp(2))
    await whole(service)


async def test_moving_while_others_join_leave_and_register(service: Service) -> None:
    """Whatever comes first, nobody is left with an access to a mapping of another satker."""
    for turn in range(6):
        name = f"budi{turn}@lain.example"
        _, mapping = await map_satker(service, 0, name, f"PT {turn}")
        theirs = await service.add(service.catalog[0], headers=pp(2))
        leaver = await service.add(service.catalog[0], headers=pp(3))
        await log_in(service, leaver, headers=pp(3), email=name)
        taker = await service.add(service.catalog[1], headers=pp(4))
        answers = await asyncio.gather(
            move(service, mapping, service.catalog[1]),
            service.http.post(
                f"/v1/satkers/{theirs}/mapping/login", json=BUDI | {"email": name}, headers=pp(2)
            ),
            service.http.delete(f"/v1/satkers/{leaver}?unlink=true", headers=pp(3)),
            service.http.post("/v1/satkers", json={"catalog_id": service.catalog[1]}),
            service.http.post(
                f"/v1/satkers/{taker}/mapping/register",
                json=registration(f"baru{turn}@lain.example"),
                headers=pp(4),
            ),
        )
        assert not [answer.text for answer in answers if answer.status_code >= 500]
        await whole(service)
        for mapping_now in await mappings(service):
            await call(service, "DELETE", f"mappings/{mapping_now['id']}", params={"reason": WHY})
        for number in range(1, 5):
            await forget_list(service, f"pp-{number}", pp(number))


async def forget_list(service: Service, pp_id: str, headers: dict[str, str]) -> None:
    owned = await satkers(service, pp_id)
    for satker_id in sorted(owned, key=lambda one: owned[one][1]):
        answer = await service.http.delete(f"/v1/satkers/{satker_id}", headers=headers)
        assert answer.status_code == 204, answer.text
