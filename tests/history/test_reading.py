"""GET /v1/history: a row for everything that happened, and for nothing that is somebody else's."""

from pathlib import Path
from typing import Any

import pytest
from app.mapping import legacy, settling

from tests.canary import PASSWORD
from tests.history.rows import row, write
from tests.service import Service, pp, registration

pytestmark = pytest.mark.anyio

BUDI = {"email": "budi@lain.example", "password": PASSWORD}


async def history(service: Service, headers: dict[str, str] | None = None, **query: Any) -> list[Any]:
    answer = await service.http.get("/v1/history", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    items: list[Any] = answer.json()["items"]
    return items


async def events(
    service: Service, headers: dict[str, str] | None = None, **query: Any
) -> list[tuple[str, str, str]]:
    """(event, actor, outcome), oldest first."""
    found = await history(service, headers, **query)
    return [(item["event"], item["actor"], item["outcome"]) for item in reversed(found)]


async def post(
    service: Service, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
) -> int:
    return (await service.http.post(f"/v1/satkers/{path}", json=body, headers=headers)).status_code


async def test_keeping_the_list(service: Service) -> None:
    """Added, made primary, changed and removed, each under the satker's name at the time."""
    first = await service.add(service.catalog[0])
    second = await service.add(service.catalog[1])
    await service.http.patch(f"/v1/satkers/{second}", json={"is_primary": True})
    await service.http.patch(f"/v1/satkers/{first}", json={"catalog_id": service.catalog[2]})
    await service.http.delete(f"/v1/satkers/{first}")

    found = await history(service)

    assert [
        ("satker_removed", first, "Satker Kementerian Satu 2"),
        ("satker_changed", first, "Satker Kementerian Satu 2"),
        ("made_primary", second, "Satker Kementerian Satu 1"),
        ("satker_added", second, "Satker Kementerian Satu 1"),
        ("satker_added", first, "Satker Kementerian Satu 0"),
    ] == [(item["event"], item["satker_id"], item["satker_name"]) for item in found]
    assert {("self", None, "ok")} == {
        (item["actor"], item["company_name"], item["outcome"]) for item in found
    }


async def test_logging_in_and_unlinking(service: Service) -> None:
    """A mapping and its end, with the company that the PP had proven."""
    await service.make_account(BUDI["email"], "PT Budi")
    satker = await service.add(service.catalog[0])
    assert 422 == await post(service, f"{satker}/mapping/login", BUDI | {"password": "salah"})
    assert 201 == await post(service, f"{satker}/mapping/login", BUDI)
    await service.http.delete(f"/v1/satkers/{satker}/mapping")

    found = await history(service)

    assert [
        ("unmapped", "ok", "PT Budi", None),
        ("access_ended", "ok", "PT Budi", None),
        ("mapped", "ok", "PT Budi", "login"),
        ("mapped", "invalid_credentials", None, "login"),
        ("satker_added", "ok", None, None),
    ] == [(item["event"], item["outcome"], item["company_name"], item["via"]) for item in found]


async def test_confirming(service: Service) -> None:
    """`via` tells how it was proven."""
    account = await service.make_account("pp1@satker.example", "PT Satu")
    satker = await service.add(service.catalog[0])
    assert 404 == await post(service, f"{satker}/mapping/confirm", {"company_id": "c-none"})
    company_id = account["companies"][0]["company_id"]
    assert 201 == await post(service, f"{satker}/mapping/confirm", {"company_id": company_id})

    assert [("mapped", "confirm", "ok"), ("mapped", "confirm", "company_not_found")] == [
        (item["event"], item["via"], item["outcome"]) for item in (await history(service))[:2]
    ]


async def test_registering(service: Service) -> None:
    """A refused registration, then one that is made."""
    await service.make_account("baru@satker.example", "PT Lain")
    satker = await service.add(service.catalog[0])
    assert 409 == await post(service, f"{satker}/mapping/register", registration())
    assert 201 == await post(service, f"{satker}/mapping/register", registration("lain@satker.example"))

    assert [("registration", "self", "email_taken"), ("mapped", "self", "ok")] == (await events(service))[1:]


async def test_a_registration_that_settles(service: Service) -> None:
    """Uncertain first, then found out by the service itself."""
    satker = await service.add(service.catalog[0])
    await service.fault("register", "500_after")
    assert 202 == await post(service, f"{satker}/mapping/register", registration())
    await settling.settle(service.context, whatever_the_backoff=True)

    found = await history(service)

    assert [("registration", "self", "uncertain"), ("mapped", "system", "ok")] == (await events(service))[1:]
    assert ("register", "Dinas Contoh", satker) == (
        found[0]["via"],
        found[0]["company_name"],
        found[0]["satker_id"],
    )


async def test_joining_and_leaving(service: Service) -> None:
    """Each sees the other's acts on the shared mapping under their own satker, and names of neither PP."""
    await service.make_account(BUDI["email"], "PT Budi")
    mine = await service.add(service.catalog[0])
    assert 201 == await post(service, f"{mine}/mapping/login", BUDI)
    theirs = await service.add(service.catalog[0], headers=pp(2))
    assert 201 == await post(service, f"{theirs}/mapping/login", BUDI, pp(2))

    assert [("mapped", "self", "ok"), ("access_gained", "pp", "ok")] == (await events(service))[1:]
    assert [("mapped", "pp", "ok"), ("satker_added", "self", "ok"), ("access_gained", "self", "ok")] == (
        await events(service, pp(2))
    )
    assert {mine} == {item["satker_id"] for item in await history(service)}
    assert {theirs} == {item["satker_id"] for item in await history(service, pp(2))}
    assert "pp-" not in str([await history(service), await history(service, pp(2))])

    await service.http.delete(f"/v1/satkers/{theirs}/mapping", headers=pp(2))

    assert ("access_ended", "pp", "ok") == (await events(service))[-1]
    assert [
        ("satker_added", "self", "ok"),
        ("access_gained", "self", "ok"),
        ("access_ended", "self", "ok"),
    ] == (await events(service, pp(2)))


async def test_before_proof(service: Service) -> None:
    """Whoever has yet to prove an account sees their own refused tries, and neither company nor colleague."""
    await service.make_account(BUDI["email"], "PT Budi")
    await service.make_account("orang@lain.example", "PT Lain")
    mine = await service.add(service.catalog[0])
    assert 201 == await post(service, f"{mine}/mapping/login", BUDI)
    theirs = await service.add(service.catalog[0], headers=pp(2))
    wrong = BUDI | {"email": "orang@lain.example"}
    assert 409 == await post(service, f"{theirs}/mapping/login", wrong, pp(2))

    found = await history(service, pp(2))

    assert [("mapped", "satker_already_mapped"), ("satker_added", "ok")] == [
        (item["event"], item["outcome"]) for item in found
    ]
    assert {None} == {item["company_name"] for item in found}
    assert [("satker_added", "self", "ok"), ("mapped", "self", "ok")] == await events(service)


async def test_replacing_a_shared_mapping(service: Service) -> None:
    """Who loses their access by a colleague's act reads that a PP ended it, and not who."""
    account = await service.make_account(BUDI["email"], "PT Budi", "PT Baru")
    old, new = (company["company_id"] for company in account["companies"])
    mine = await service.add(service.catalog[0])
    assert 201 == await post(service, f"{mine}/mapping/login", BUDI | {"company_id": old})
    theirs = await service.add(service.catalog[0], headers=pp(2))
    assert 201 == await post(service, f"{theirs}/mapping/login", BUDI, pp(2))
    await service.mbiz.post(f"/sandbox/companies/{old}", json={"status": "inactive"})
    assert 201 == await post(service, f"{mine}/mapping/login", BUDI | {"company_id": new})

    assert ("access_ended", "pp", "ok") == (await events(service, pp(2)))[-1]
    assert "PT Baru" not in str(await history(service, pp(2)))
    assert [("access_ended", "self", "ok"), ("unmapped", "self", "ok"), ("mapped", "self", "ok")] == (
        await events(service)
    )[-3:]


async def test_taking_over_todays_pairs(service: Service, tmp_path: Path) -> None:
    """An operator's import shows as such."""
    file = tmp_path / "pairs.csv"
    file.write_text("pp_id,klpd_code,satker_code,company_id,company_name\npp-1,K1,000001,c-9,PT Lama\n")
    report = await legacy.import_mappings(service.database, file, progress=lambda *_: None)
    assert {"mapped": 1} == report.outcomes, report.text()

    found = await history(service)

    assert ("imported", "operator", "legacy", "PT Lama") == (
        found[0]["event"],
        found[0]["actor"],
        found[0]["via"],
        found[0]["company_name"],
    )
    assert {"operator"} == {item["actor"] for item in found}


async def test_one_satker(service: Service) -> None:
    """`satker_id` leaves the rows of that satker, also when it is off the list; another's id finds nothing."""
    first = await service.add(service.catalog[0])
    second = await service.add(service.catalog[1])
    theirs = await service.add(service.catalog[2], headers=pp(2))
    await service.http.delete(f"/v1/satkers/{second}")

    assert [("satker_added", "self", "ok")] == await events(service, satker_id=first)
    assert [("satker_added", "self", "ok"), ("satker_removed", "self", "ok")] == await events(
        service, satker_id=second
    )
    assert [] == await history(service, satker_id=theirs)
    assert [] == await history(service, satker_id="nothing")


async def test_one_satker_shared_with_others(service: Service) -> None:
    """With `satker_id` others' acts on its mapping are there too, and those on other mappings are not."""
    await service.make_account(BUDI["email"], "PT Budi")
    await service.make_account("dua@lain.example", "PT Dua")
    first, second = await service.add(service.catalog[0]), await service.add(service.catalog[1])
    assert 201 == await post(service, f"{first}/mapping/login", BUDI)
    assert 201 == await post(service, f"{second}/mapping/login", BUDI | {"email": "dua@lain.example"})
    theirs = await service.add(service.catalog[0], headers=pp(2))
    assert 201 == await post(service, f"{theirs}/mapping/login", BUDI, pp(2))

    assert [("mapped", "self", "ok"), ("access_gained", "pp", "ok")] == (
        await events(service, satker_id=first)
    )[1:]
    assert [("satker_added", "self", "ok"), ("mapped", "self", "ok")] == await events(
        service, satker_id=second
    )


async def test_leafing_through(service: Service) -> None:
    """Pages join without a gap or a double, even while rows are added, and the last one says so."""
    await write(service.database, [row("pp-1", outcome=f"o{number}") for number in range(45)])
    seen: list[str] = []
    cursor: dict[str, str] = {}
    sizes = []
    while True:
        page = (await service.http.get("/v1/history", params=cursor)).json()
        seen += [item["outcome"] for item in page["items"]]
        sizes.append(len(page["items"]))
        await write(service.database, [row("pp-1", outcome="later")])
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert [20, 20, 5] == sizes
    assert [f"o{number}" for number in reversed(range(45))] == seen


async def test_leafing_through_shared_mappings(service: Service) -> None:
    """Own and others' rows come as one list, each once, whatever the size of a page."""
    await service.make_account(BUDI["email"], "PT Budi")
    mine = await service.add(service.catalog[0])
    await post(service, f"{mine}/mapping/login", BUDI)
    theirs = await service.add(service.catalog[0], headers=pp(2))
    for added in range(3):
        await post(service, f"{theirs}/mapping/login", BUDI, pp(2))
        await service.http.delete(f"/v1/satkers/{theirs}/mapping", headers=pp(2))
        await service.add(service.catalog[1 + added])
    whole = await history(service, limit=100)
    assert 11 == len(whole)

    for limit in (1, 2, 5, 11):
        seen: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await service.http.get("/v1/history", params={"limit": limit, **cursor})).json()
            seen += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert whole == seen, limit


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "WyJhIl0"}, "cursor"),
        ({"cursor": "WzEsMl0"}, "cursor"),
        ({"cursor": "Wy0xXQ"}, "cursor"),
        ({"cursor": "W3RydWVd"}, "cursor"),
        ({"cursor": "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OTldDQ"}, "cursor"),
        ({"cursor": "Ww" * 900}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"satker_id": "a\0b"}, "satker_id"),
        ({"pp_id": "pp-2"}, "pp_id"),
    ],
)
async def test_asking_with_nonsense(shared_service: Service, query: dict[str, Any], field: str) -> None:
    """A bad cursor and every other bad parameter is 422 at its name."""
    answer = await shared_service.http.get("/v1/history", params=query)

    assert (422, [field]) == (answer.status_code, [error["field"] for error in answer.json()["errors"]])
