"""The PP's own list of satkers; on both databases where they could differ."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import httpx
import pytest
from app.models import CatalogSatker, History, Klpd, PpSatker
from app.satker import store
from sqlalchemy import insert, select, update

from tests.canary import PASSWORD
from tests.service import Service, pp, registration, statements_of

pytestmark = pytest.mark.anyio

UNKNOWN_IDS = (
    "tidak-ada",
    "%00",
    "a%00b",
    "x" * 5000,
    "%F0%9F%92%A9",
    "%ff%fe",  # no UTF-8
    "a%0d%0ab",
    "'%20OR%20'1'='1",
    "..%2e",
    "%25",
)


def summary(items: Iterable[dict[str, Any]], *names: str) -> list[Any]:
    return [item[names[0]] if len(names) == 1 else tuple(item[name] for name in names) for item in items]


async def page(service: Service, **params: Any) -> dict[str, Any]:
    answer = await service.http.get("/v1/satkers", params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def rename(service: Service, names: dict[str, str]) -> None:
    async with service.database.begin() as tx:
        for catalog_id, name in names.items():
            await tx.execute(
                update(CatalogSatker)
                .where(CatalogSatker.id == catalog_id)
                .values(name=name, search=name.casefold())
            )


async def history(service: Service) -> list[tuple[str, str, str]]:
    async with service.database.reading() as db:
        rows = await db.execute(select(History.event, History.pp_id, History.satker_id).order_by(History.id))
        return [(row.event, row.pp_id, row.satker_id) for row in rows]


async def register(service: Service, satker_id: str) -> None:
    made = await service.http.post(f"/v1/satkers/{satker_id}/mapping/register", json=registration())
    assert made.status_code == 201, made.text


async def leave_uncertain(service: Service, satker_id: str) -> None:
    """A registration whose answer was lost."""
    body = registration("lost@satker.example")
    made = await service.http.post(f"/v1/satkers/{satker_id}/mapping/register", json=body)
    assert made.status_code == 202, made.text


# Adding


async def test_adding_a_satker(sqlite_service: Service) -> None:
    """It is answered whole, with its place, and is the primary one when it is the first."""
    answer = await sqlite_service.http.post("/v1/satkers", json={"catalog_id": sqlite_service.catalog[0]})
    first = answer.json()
    assert (201, f"/v1/satkers/{first['id']}") == (answer.status_code, answer.headers["Location"])
    assert first["created_at"] == first["updated_at"]
    assert datetime.fromisoformat(first["created_at"]).utcoffset() is not None
    assert {
        "id": first["id"],
        "catalog_id": sqlite_service.catalog[0],
        "satker_code": "000001",
        "satker_name": "Satker Kementerian Satu 0",
        "klpd_code": "K1",
        "klpd_name": "KEMENTERIAN SATU",
        "is_primary": True,
        "created_at": first["created_at"],
        "updated_at": first["updated_at"],
        "mapping": {"status": "unmapped", "company": None},
    } == first
    got = await sqlite_service.http.get(answer.headers["Location"])
    assert (first, answer.headers["ETag"]) == (got.json(), got.headers["ETag"])
    assert [("satker_added", "pp-1", first["id"])] == await history(sqlite_service)


async def test_adding_a_second_satker(sqlite_service: Service) -> None:
    """It is an additional one, and the first stays primary."""
    first, second = [await sqlite_service.add(catalog_id) for catalog_id in sqlite_service.catalog[:2]]
    listed = (await page(sqlite_service, sort="satker_name"))["items"]
    assert [(first, True), (second, False)] == summary(listed, "id", "is_primary")


async def test_adding_a_satker_twice(sqlite_service: Service) -> None:
    """It is 409, and another PP may still add it."""
    await sqlite_service.add(sqlite_service.catalog[0])
    again = await sqlite_service.http.post("/v1/satkers", json={"catalog_id": sqlite_service.catalog[0]})
    assert (409, "satker_already_added") == (again.status_code, again.json()["code"])
    await sqlite_service.add(sqlite_service.catalog[0], headers=pp(2))
    assert 1 == (await page(sqlite_service))["total"]


async def test_adding_what_the_catalog_does_not_show(sqlite_service: Service) -> None:
    """A hidden entry and one that never was are the same 404; a hidden one that was added before stays."""
    kept = await sqlite_service.add(sqlite_service.catalog[0])
    async with sqlite_service.database.begin() as tx:
        await tx.execute(update(CatalogSatker).values(active=False))
    for catalog_id in (sqlite_service.catalog[1], "tidak-ada", "💩", "%", "' OR 1=1 --"):
        answer = await sqlite_service.http.post("/v1/satkers", json={"catalog_id": catalog_id})
        assert (404, "catalog_satker_not_found") == (answer.status_code, answer.json()["code"])
    assert 200 == (await sqlite_service.http.get(f"/v1/satkers/{kept}")).status_code


async def test_adding_more_than_200(service: Service) -> None:
    """The 201st is 409; one that is there already is called so even then."""
    first = await service.add(service.catalog[0])
    await fill_list(service, first)
    full = await service.http.post("/v1/satkers", json={"catalog_id": service.catalog[1]})
    assert (409, "satker_limit_reached") == (full.status_code, full.json()["code"])
    there = await service.http.post("/v1/satkers", json={"catalog_id": service.catalog[0]})
    assert "satker_already_added" == there.json()["code"]
    listed = await page(service, size=100, page=2)
    assert (200, 2, 100) == (listed["total"], listed["pages"], len(listed["items"]))
    removed = await service.http.delete(f"/v1/satkers/{listed['items'][0]['id']}")
    assert 204 == removed.status_code
    await service.add(service.catalog[1])


async def fill_list(service: Service, like: str) -> None:
    """199 more satkers on the list of PP 1, so that it is full."""
    numbers = range(store.MAX_SATKERS - 1)
    common = {"klpd_code": "K1", "kd_satker": None, "active": True}
    async with service.database.begin() as tx:
        rows = [
            {"id": f"c{n}", "code": f"c{n}", "name": f"Banyak {n}", "search": f" banyak {n} ", **common}
            for n in numbers
        ]
        await tx.execute(insert(CatalogSatker), rows)
        first = (await tx.execute(select(PpSatker.__table__).where(PpSatker.id == like))).mappings().one()
        own = [{**first, "id": f"s-c{n}", "catalog_id": f"c{n}", "is_primary": False} for n in numbers]
        await tx.execute(insert(PpSatker), own)


async def test_adding_the_first_sixteen_at_once(service: Service) -> None:
    """Each is added, and exactly one is primary."""
    catalog_ids = service.catalog[:11]
    bodies = [{"catalog_id": catalog_id} for catalog_id in [*catalog_ids, *catalog_ids[:5]]]
    answers = await asyncio.gather(*(service.http.post("/v1/satkers", json=body) for body in bodies))
    codes = sorted(answer.status_code for answer in answers)
    assert [201] * 11 + [409] * 5 == codes
    items = (await page(service, size=100))["items"]
    assert sorted(catalog_ids) == sorted(summary(items, "catalog_id"))
    assert 1 == sum(item["is_primary"] for item in items)


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "catalog_id", "required"),
        ({"catalog_id": None}, "catalog_id", "invalid"),
        ({"catalog_id": 1}, "catalog_id", "invalid"),
        ({"catalog_id": ["x"]}, "catalog_id", "invalid"),
        ({"catalog_id": ""}, "catalog_id", "too_short"),
        ({"catalog_id": "x" * 201}, "catalog_id", "too_long"),
        ({"catalog_id": "a\0b"}, "catalog_id", "control_characters"),
        ({"catalog_id": "a\r\nb"}, "catalog_id", "control_characters"),
        ({"catalog_id": "x", "is_primary": True}, "is_primary", "unknown_field"),
        ({"catalog_id": "x", "id": "mine"}, "id", "unknown_field"),
        ({"catalog_id": "x", "company_id": "c"}, "company_id", "unknown_field"),
        ({"catalog_id": "x", "pp_id": "pp-2"}, "pp_id", "unknown_field"),
    ],
)
async def test_adding_with_a_bad_body(shared_service: Service, body: object, field: str, code: str) -> None:
    """It is 422, and names the field."""
    answer = await shared_service.http.post("/v1/satkers", json=body)
    assert 422 == answer.status_code
    assert [(field, code)] == summary(answer.json()["errors"], "field", "code")


# Listing


async def test_listing_200_satkers_takes_one_statement(service: Service) -> None:
    """Names, mapping status, company of all of them, and how many there are."""
    first = await service.add(service.catalog[0])
    await fill_list(service, first)
    await register(service, first)
    await leave_uncertain(service, "s-c7")
    await service.context.reader.aclose()  # its next connection is overheard
    statements = statements_of(service)
    for query in ({}, {"q": "banyak 1", "sort": "klpd_name", "page": 2}, {"status": "mapped"}):
        statements.clear()
        await page(service, size=100, **query)
        await asyncio.sleep(0)  # the driver tells of a statement after it
        assert 1 == len(statements), statements
    states = [
        item["mapping"]["status"] for n in (1, 2) for item in (await page(service, size=100, page=n))["items"]
    ]
    assert {"mapped": 1, "checking": 1, "unmapped": 198} == Counter(states)


async def test_listing_nothing(sqlite_service: Service) -> None:
    """An empty list has one shape too."""
    assert {"items": [], "page": 1, "size": 10, "total": 0, "pages": 0} == await page(sqlite_service)


async def test_listing_in_pages(sqlite_service: Service) -> None:
    """The newest change comes first; pages never overlap, and one beyond the end is empty."""
    added = [await sqlite_service.add(catalog_id) for catalog_id in sqlite_service.catalog]
    pages = [await page(sqlite_service, size=5, page=number) for number in (1, 2, 3, 4, 1_000_000)]
    assert [5, 5, 2, 0, 0] == [len(one["items"]) for one in pages]
    assert added[::-1] == [item["id"] for one in pages for item in one["items"]]
    assert {(12, 3, 5)} == {(one["total"], one["pages"], one["size"]) for one in pages}
    assert 10 == len((await page(sqlite_service))["items"])


async def test_listing_sorted(service: Service) -> None:
    """Names are ordered by code point whatever the database's locale; descending is the exact reverse."""
    names = ["a", "Z", "É", "z", "_", "0", "É", "ﬀ", "😀", "-", "~", " a"]
    await rename(service, dict(zip(service.catalog, names, strict=True)))
    for catalog_id in service.catalog:
        await service.add(catalog_id)
    up = (await page(service, sort="satker_name", size=100))["items"]
    assert sorted(names) == summary(up, "satker_name")
    down = (await page(service, sort="-satker_name", size=100))["items"]
    assert up == down[::-1]
    twins = [item["id"] for item in up if item["satker_name"] == "É"]
    assert sorted(twins) == twins


async def test_listing_sorted_by_klpd(service: Service) -> None:
    """Ties are broken by id, so that every page is where it was."""
    for catalog_id in service.catalog:
        await service.add(catalog_id)
    listed = [(await page(service, sort="klpd_name", size=1, page=n))["items"][0] for n in range(1, 13)]
    keys = summary(listed, "klpd_name", "id")
    assert sorted(keys) == keys


async def test_listing_what_changed_last(sqlite_service: Service) -> None:
    """Making one primary changes it and the one that was."""
    first, second, third = [await sqlite_service.add(catalog_id) for catalog_id in sqlite_service.catalog[:3]]
    await sqlite_service.http.patch(f"/v1/satkers/{second}", json={"is_primary": True})
    assert {first, second} == {item["id"] for item in (await page(sqlite_service))["items"][:2]}
    assert third == (await page(sqlite_service, sort="updated_at"))["items"][0]["id"]


MATCHES = {
    "": 12,
    "   ": 12,
    "kementerian": 4,
    "KEMENTERIAN  satu": 4,
    "satu kementerian": 4,
    "satu 000004": 1,
    "atu": 4,
    "000012": 1,
    "00001": 4,
    "1007": 1,
    "%": 0,
    "_": 0,
    "\\": 0,
    "'": 0,
    "tidak ada": 0,
}


async def test_listing_what_matches(service: Service) -> None:
    """`q` is any part of names and codes, words in any order, whatever the case; it has no wildcards."""
    for catalog_id in service.catalog:
        await service.add(catalog_id)
    assert MATCHES == {q: (await page(service, q=q))["total"] for q in MATCHES}


async def test_listing_by_state(service: Service) -> None:
    """`status` and `is_primary` sift the list; what sifts counts in the total."""
    await service.make_account("lain@x.example", "PT Lain")
    mapped, checking, others, free = [await service.add(catalog_id) for catalog_id in service.catalog[:4]]
    await register(service, mapped)
    await leave_uncertain(service, checking)
    colleague = await service.add(service.catalog[2], headers=pp(2))
    body = {"email": "lain@x.example", "password": PASSWORD}
    await service.http.post(f"/v1/satkers/{colleague}/mapping/login", json=body, headers=pp(2))
    states = {"mapped": mapped, "checking": checking, "mapped_by_other": others, "unmapped": free}
    for status, satker_id in states.items():
        listed = await page(service, status=status)
        assert ([satker_id], 1) == (summary(listed["items"], "id"), listed["total"])
        assert (status == "mapped") == (listed["items"][0]["mapping"]["company"] is not None)
    assert [mapped] == summary((await page(service, is_primary=True))["items"], "id")
    assert 3 == (await page(service, is_primary="false"))["total"]
    assert 0 == (await page(service, is_primary=True, status="unmapped"))["total"]


async def test_listing_with_bad_parameters(shared_service: Service) -> None:
    """Each is 422 and named."""
    bad = {
        "page": ["0", "-1", "1.5", "x", "", "9" * 30],
        "size": ["0", "101", "x", ""],
        "sort": ["name", "+satker_name", "--updated_at", "id", "", "UPDATED_AT"],
        "status": ["free", "MAPPED", ""],
        "is_primary": ["maybe", "", "2"],
        "q": ["x" * 101, "a\0b", "a\nb"],
    }
    for name, values in bad.items():
        for value in values:
            answer = await shared_service.http.get("/v1/satkers", params={name: value})
            assert 422 == answer.status_code, (name, value)
            assert [name] == summary(answer.json()["errors"], "field")


# One satker


async def test_an_id_that_is_nobodys(service: Service) -> None:
    """Whatever an id is made of, it is 404 for every call."""
    for satker_id in UNKNOWN_IDS:
        for method, path, body in CALLS:
            answer = await service.http.request(method, f"/v1/satkers/{satker_id}{path}", json=body)
            assert (404, "satker_not_found") == (answer.status_code, answer.json()["code"]), (method, path)


CALLS: list[tuple[str, str, object]] = [
    ("GET", "", None),
    ("PATCH", "", {"is_primary": True}),
    ("PATCH", "", {"catalog_id": "x"}),
    ("DELETE", "", None),
    ("GET", "/mapping", None),
    ("DELETE", "/mapping", None),
    ("POST", "/mapping/confirm", {"company_id": "c"}),
    ("POST", "/mapping/login", {"email": "a@x.example", "password": "p"}),
    ("POST", "/mapping/register", registration()),
    ("POST", "/entry", None),
]


def without_budget(answer: httpx.Response) -> dict[str, str]:
    """All headers but the one that counts calls down."""
    return {name: value for name, value in answer.headers.items() if name != "ratelimit"}


async def test_another_pps_satker(service: Service) -> None:
    """It answers exactly as an unknown one, and nothing happens to it."""
    theirs = await service.add(service.catalog[0], headers=pp(2))
    before = await service.http.get(f"/v1/satkers/{theirs}", headers=pp(2))
    for method, path, body in CALLS:
        for suffix in ({}, {"If-Match": before.headers["ETag"]}):
            theirs_answer, unknown_answer = [
                await service.http.request(
                    method,
                    f"/v1/satkers/{satker_id}{path}",
                    json=body,
                    headers={**suffix, "X-Request-Id": "same"},
                )
                for satker_id in (theirs, "0" * 32)
            ]
            assert (404, unknown_answer.content) == (theirs_answer.status_code, theirs_answer.content)
            assert without_budget(unknown_answer) == without_budget(theirs_answer)
    assert before.content == (await service.http.get(f"/v1/satkers/{theirs}", headers=pp(2))).content
    assert [] == (await service.truth())["registrations"]


async def test_reading_with_an_etag(sqlite_service: Service) -> None:
    """A strong ETag over the whole representation; an unchanged one is 304 without a body."""
    satker_id = await sqlite_service.add(sqlite_service.catalog[0])
    answer = await sqlite_service.http.get(f"/v1/satkers/{satker_id}")
    etag = answer.headers["ETag"]
    assert (True, True) == (etag.startswith('"'), etag.endswith('"'))
    for known in (etag, f"W/{etag}", f'"x", {etag}', f'W/"x",W/{etag}', "*"):
        headers = {"If-None-Match": known}
        same = await sqlite_service.http.get(f"/v1/satkers/{satker_id}", headers=headers)
        assert (304, b"", etag) == (same.status_code, same.content, same.headers["ETag"])
    for other in ('"x"', etag[1:-1], f'"{etag}"', "", etag.upper()):
        fresh = await sqlite_service.http.get(f"/v1/satkers/{satker_id}", headers={"If-None-Match": other})
        assert (200, answer.content) == (fresh.status_code, fresh.content)


async def test_the_etag_follows_every_part(service: Service) -> None:
    """The name in the catalog, the state of the mapping and the company's name change it too."""
    satker_id = await service.add(service.catalog[0])
    tags = []

    async def remember() -> None:
        tags.append((await service.http.get(f"/v1/satkers/{satker_id}")).headers["ETag"])

    await remember()
    await rename(service, {service.catalog[0]: "Nama Baru"})
    await remember()
    async with service.database.begin() as tx:
        await tx.execute(update(Klpd).where(Klpd.code == "K1").values(name="KEMENTERIAN BARU"))
    await remember()
    await register(service, satker_id)
    await remember()
    await service.http.patch(f"/v1/satkers/{satker_id}", json={"is_primary": True})
    await remember()
    await service.http.delete(f"/v1/satkers/{satker_id}/mapping")
    await remember()
    assert len(tags) == len(set(tags)), tags


# Changing


async def test_making_another_one_primary(sqlite_service: Service) -> None:
    """There is one primary before and after; its ETag is the new one, and the history knows."""
    first, second = [await sqlite_service.add(catalog_id) for catalog_id in sqlite_service.catalog[:2]]
    answer = await sqlite_service.http.patch(f"/v1/satkers/{second}", json={"is_primary": True})
    assert (200, True) == (answer.status_code, answer.json()["is_primary"])
    got = await sqlite_service.http.get(f"/v1/satkers/{second}")
    assert (got.content, got.headers["ETag"]) == (answer.content, answer.headers["ETag"])
    assert answer.json()["updated_at"] > answer.json()["created_at"]
    assert not (await sqlite_service.http.get(f"/v1/satkers/{first}")).json()["is_primary"]
    assert ("made_primary", "pp-1", second) == (await history(sqlite_service))[-1]


async def test_making_sixteen_primary_at_once(service: Service) -> None:
    """All are answered 200, and exactly one is primary."""
    ids = [await service.add(catalog_id) for catalog_id in service.catalog[:8]]
    calls = [service.http.patch(f"/v1/satkers/{one}", json={"is_primary": True}) for one in ids * 2]
    assert {200} == {answer.status_code for answer in await asyncio.gather(*calls)}
    assert 1 == (await page(service, is_primary=True))["total"]


async def test_putting_another_satker_in_its_place(sqlite_service: Service) -> None:
    """The id and the primary place stay; the satker, the ETag and the time of the change do not."""
    satker_id = await sqlite_service.add(sqlite_service.catalog[0])
    before = await sqlite_service.http.get(f"/v1/satkers/{satker_id}")
    answer = await sqlite_service.http.patch(
        f"/v1/satkers/{satker_id}", json={"catalog_id": sqlite_service.catalog[5]}
    )
    old, new = before.json(), answer.json()
    assert (old["id"], True, old["created_at"]) == (new["id"], new["is_primary"], new["created_at"])
    assert (sqlite_service.catalog[5], "Satker Lembaga Dua 1", "L2") == (
        new["catalog_id"],
        new["satker_name"],
        new["klpd_code"],
    )
    assert new["updated_at"] > old["updated_at"]
    assert before.headers["ETag"] != answer.headers["ETag"]
    assert ("satker_changed", "pp-1", satker_id) == (await history(sqlite_service))[-1]
    await sqlite_service.add(sqlite_service.catalog[0])  # it is free again


async def test_changing_both_at_once(sqlite_service: Service) -> None:
    """Both happen, or neither."""
    await sqlite_service.add(sqlite_service.catalog[0])
    second = await sqlite_service.add(sqlite_service.catalog[1])
    taken = {"is_primary": True, "catalog_id": sqlite_service.catalog[0]}
    refused = await sqlite_service.http.patch(f"/v1/satkers/{second}", json=taken)
    assert "satker_already_added" == refused.json()["code"]
    assert not (await sqlite_service.http.get(f"/v1/satkers/{second}")).json()["is_primary"]
    free = {"is_primary": True, "catalog_id": sqlite_service.catalog[2]}
    changed = (await sqlite_service.http.patch(f"/v1/satkers/{second}", json=free)).json()
    assert (True, sqlite_service.catalog[2]) == (changed["is_primary"], changed["catalog_id"])


async def test_changing_to_the_same_satker(sqlite_service: Service) -> None:
    """It counts as a change in time alone: no history, and allowed while it is mapped."""
    satker_id = await sqlite_service.add(sqlite_service.catalog[0])
    await register(sqlite_service, satker_id)
    before = (await sqlite_service.http.get(f"/v1/satkers/{satker_id}")).json()
    events = await history(sqlite_service)
    answer = await sqlite_service.http.patch(
        f"/v1/satkers/{satker_id}", json={"catalog_id": sqlite_service.catalog[0]}
    )
    assert {**before, "updated_at": answer.json()["updated_at"]} == answer.json()
    assert answer.json()["updated_at"] > before["updated_at"]
    assert events == await history(sqlite_service)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"is_primary": False}, "is_primary"),
        ({"is_primary": None}, "is_primary"),
        ({"is_primary": 1}, "is_primary"),
        ({"is_primary": 1.0}, "is_primary"),
        ({"is_primary": "true"}, "is_primary"),
        ({"catalog_id": None}, "catalog_id"),
        ({"catalog_id": ""}, "catalog_id"),
        ({"catalog_id": "x", "is_primary": False}, "is_primary"),
        ({"is_primary": True, "satker_name": "x"}, "satker_name"),
        ({"is_primary": True, "mapping": {"status": "mapped"}}, "mapping"),
    ],
)
async def test_changing_with_a_bad_body(shared_service: Service, body: object, field: str) -> None:
    """Only `is_primary: true` and `catalog_id` can be changed; anything else is 422."""
    answer = await shared_service.http.patch("/v1/satkers/any", json=body)
    assert (422, [field]) == (answer.status_code, summary(answer.json()["errors"], "field"))


async def test_changing_to_what_cannot_be(sqlite_service: Service) -> None:
    """A satker that is not shown is 404, one that is on the list already 409."""
    satker_id = await sqlite_service.add(sqlite_service.catalog[0])
    await sqlite_service.add(sqlite_service.catalog[1])
    async with sqlite_service.database.begin() as tx:
        hide = update(CatalogSatker).where(CatalogSatker.id == sqlite_service.catalog[2])
        await tx.execute(hide.values(active=False))
    outcomes = {"tidak-ada": (404, "catalog_satker_not_found")}
    outcomes[sqlite_service.catalog[2]] = (404, "catalog_satker_not_found")
    outcomes[sqlite_service.catalog[1]] = (409, "satker_already_added")
    for catalog_id, outcome in outcomes.items():
        answer = await sqlite_service.http.patch(f"/v1/satkers/{satker_id}", json={"catalog_id": catalog_id})
        assert outcome == (answer.status_code, answer.json()["code"])


async def test_changing_a_linked_satker(service: Service) -> None:
    """A mapped one and one with an own open registration keep their satker, but may become primary."""
    mapped, checking = [await service.add(catalog_id) for catalog_id in service.catalog[:2]]
    await register(service, mapped)
    await leave_uncertain(service, checking)
    body = {"catalog_id": service.catalog[5]}
    for satker_id, code in ((mapped, "satker_has_mapping"), (checking, "link_in_progress")):
        refused = await service.http.patch(f"/v1/satkers/{satker_id}", json=body)
        assert (409, code) == (refused.status_code, refused.json()["code"])
        allowed = await service.http.patch(f"/v1/satkers/{satker_id}", json={"is_primary": True})
        assert 200 == allowed.status_code


async def test_changing_a_satker_that_others_linked(sqlite_service: Service) -> None:
    """Somebody else's mapping or open registration holds nobody back."""
    theirs = [
        await sqlite_service.add(catalog_id, headers=pp(2)) for catalog_id in sqlite_service.catalog[:2]
    ]
    mine = [await sqlite_service.add(catalog_id) for catalog_id in sqlite_service.catalog[:2]]
    for satker_id, email in zip(theirs, ("baik@x.example", "lost@x.example"), strict=True):
        body = registration(email)
        await sqlite_service.http.post(f"/v1/satkers/{satker_id}/mapping/register", json=body, headers=pp(2))
    for number, satker_id in enumerate(mine):
        body = {"catalog_id": sqlite_service.catalog[5 + number]}
        assert 200 == (await sqlite_service.http.patch(f"/v1/satkers/{satker_id}", json=body)).status_code


async def test_changing_what_somebody_changed_meanwhile(service: Service) -> None:
    """If-Match lets one of two editors through; the other gets 412 and changes nothing."""
    satker_id = await service.add(service.catalog[0])
    etag = (await service.http.get(f"/v1/satkers/{satker_id}")).headers["ETag"]
    changes = [{"catalog_id": catalog_id} for catalog_id in service.catalog[1:9]]
    calls = [
        service.http.patch(f"/v1/satkers/{satker_id}", json=body, headers={"If-Match": etag})
        for body in changes
    ]
    answers = await asyncio.gather(*calls)
    assert [200] + [412] * 7 == sorted(answer.status_code for answer in answers)
    assert {"version_conflict"} == {one.json()["code"] for one in answers if one.status_code == 412}


async def test_the_forms_of_if_match(sqlite_service: Service) -> None:
    """The strong tag, a list with it, and `*` pass; weak, foreign and unquoted ones do not."""
    satker_id = await sqlite_service.add(sqlite_service.catalog[0])

    async def patch(condition: str) -> int:
        headers = {"If-Match": condition.replace("{}", etag)}
        url = f"/v1/satkers/{satker_id}"
        return (await sqlite_service.http.patch(url, json={"is_primary": True}, headers=headers)).status_code

    for condition in ("{}", '"x", {}', "*"):
        etag = (await sqlite_service.http.get(f"/v1/satkers/{satker_id}")).headers["ETag"]
        assert 200 == await patch(condition)
    for condition in ('"x"', "W/{}", "{}x", "", etag.strip('"')):
        assert 412 == await patch(condition)


async def test_the_order_of_refusals_when_changing(sqlite_service: Service) -> None:
    """412 comes before what the catalog and the list say."""
    satker_id = await sqlite_service.add(sqlite_service.catalog[0])
    body = {"catalog_id": "tidak-ada"}
    answer = await sqlite_service.http.patch(
        f"/v1/satkers/{satker_id}", json=body, headers={"If-Match": '"x"'}
    )
    assert "version_conflict" == answer.json()["code"]


# Removing


async def test_removing_a_satker(sqlite_service: Service) -> None:
    """It is 204 once, then 404; added again it has a new id."""
    first, second = [await sqlite_service.add(catalog_id) for catalog_id in sqlite_service.catalog[:2]]
    removed = await sqlite_service.http.delete(f"/v1/satkers/{second}")
    assert (204, b"") == (removed.status_code, removed.content)
    assert 404 == (await sqlite_service.http.delete(f"/v1/satkers/{second}")).status_code
    assert [first] == summary((await page(sqlite_service))["items"], "id")
    assert ("satker_removed", "pp-1", second) == (await history(sqlite_service))[-1]
    assert second != await sqlite_service.add(sqlite_service.catalog[1])


async def test_removing_the_primary_one(sqlite_service: Service) -> None:
    """It goes last; after that the next one added is primary."""
    first, second = [await sqlite_service.add(catalog_id) for catalog_id in sqlite_service.catalog[:2]]
    refused = await sqlite_service.http.delete(f"/v1/satkers/{first}")
    assert (409, "primary_satker") == (refused.status_code, refused.json()["code"])
    assert 204 == (await sqlite_service.http.delete(f"/v1/satkers/{second}")).status_code
    assert 204 == (await sqlite_service.http.delete(f"/v1/satkers/{first}")).status_code
    again = await sqlite_service.add(sqlite_service.catalog[2])
    assert (await sqlite_service.http.get(f"/v1/satkers/{again}")).json()["is_primary"]


async def test_removing_a_mapped_one(service: Service) -> None:
    """Only with `unlink=true`, which frees the satker and the company; adding it again restores nothing."""
    await service.add(service.catalog[1])
    satker_id = await service.add(service.catalog[0])
    await register(service, satker_id)
    for suffix in ("", "?unlink=false"):
        refused = await service.http.delete(f"/v1/satkers/{satker_id}{suffix}")
        assert (409, "satker_has_mapping") == (refused.status_code, refused.json()["code"])
    assert 204 == (await service.http.delete(f"/v1/satkers/{satker_id}?unlink=true")).status_code
    events = [event for event, _, _ in await history(service)]
    assert ["access_ended", "unmapped", "satker_removed"] == events[-3:]
    again = await service.add(service.catalog[0])
    mapping = (await service.http.get(f"/v1/satkers/{again}/mapping")).json()
    assert ("unmapped", None) == (mapping["status"], mapping["company"])


async def test_removing_one_that_is_being_checked(service: Service) -> None:
    """It is 409 with Retry-After, with `unlink` too, and before the primary place is looked at."""
    satker_id = await service.add(service.catalog[0])
    await service.add(service.catalog[1])
    await leave_uncertain(service, satker_id)
    for suffix in ("", "?unlink=true"):
        refused = await service.http.delete(f"/v1/satkers/{satker_id}{suffix}")
        assert (409, "link_in_progress") == (refused.status_code, refused.json()["code"])


async def test_the_order_of_refusals_when_removing(sqlite_service: Service) -> None:
    """The primary place comes before the mapping."""
    satker_id = await sqlite_service.add(sqlite_service.catalog[0])
    await sqlite_service.add(sqlite_service.catalog[1])
    await register(sqlite_service, satker_id)
    for suffix in ("", "?unlink=true"):
        refused = await sqlite_service.http.delete(f"/v1/satkers/{satker_id}{suffix}")
        assert "primary_satker" == refused.json()["code"]


async def test_removing_one_that_others_mapped(sqlite_service: Service) -> None:
    """Without access there is nothing to unlink; the others' mapping goes on."""
    theirs = await sqlite_service.add(sqlite_service.catalog[0], headers=pp(2))
    body = registration()
    await sqlite_service.http.post(f"/v1/satkers/{theirs}/mapping/register", json=body, headers=pp(2))
    mine = await sqlite_service.add(sqlite_service.catalog[0])
    assert 204 == (await sqlite_service.http.delete(f"/v1/satkers/{mine}")).status_code
    mapping = await sqlite_service.http.get(f"/v1/satkers/{theirs}/mapping", headers=pp(2))
    assert "mapped" == mapping.json()["status"]


async def test_removing_the_same_one_sixteen_times_at_once(service: Service) -> None:
    """One 204, and 404 for the others."""
    satker_id = await service.add(service.catalog[0])
    answers = await asyncio.gather(*(service.http.delete(f"/v1/satkers/{satker_id}") for _ in range(16)))
    assert [204] + [404] * 15 == sorted(answer.status_code for answer in answers)


async def test_removing_all_at_once(service: Service) -> None:
    """However it falls out, a list that is left has one primary."""
    ids = [await service.add(catalog_id) for catalog_id in service.catalog[:8]]
    answers = await asyncio.gather(*(service.http.delete(f"/v1/satkers/{one}") for one in ids))
    assert {204, 409} >= {answer.status_code for answer in answers}
    left = (await page(service))["items"]
    assert (8 - len(left), min(len(left), 1)) == (
        sum(answer.status_code == 204 for answer in answers),
        sum(item["is_primary"] for item in left),
    )
