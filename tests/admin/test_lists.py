"""What operators see: mappings with who has access to them, and attempts with those that are overdue."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from app.models import Attempt
from sqlalchemy import update

from tests.admin.desk import BUDI, call, log_in, map_satker, mappings, open_registration
from tests.service import Service, pp, registration

pytestmark = pytest.mark.anyio


async def test_listing_mappings(service: Service) -> None:
    """A mapping is shown with its satker, its company and everyone's access."""
    mine, mapping = await map_satker(service, 0)
    theirs = await service.add(service.catalog[0], headers=pp(2))
    await log_in(service, theirs, headers=pp(2))
    await service.add(service.catalog[1])

    [shown] = await mappings(service)

    assert (mapping, "PT Budi", "login") == (shown["id"], shown["company"]["name"], shown["via"])
    assert ("K1", "KEMENTERIAN SATU", "000001", "1001", service.catalog[0]) == tuple(
        shown["satker"][key] for key in ("klpd_code", "klpd_name", "code", "kd_satker", "catalog_id")
    )
    assert [("pp-1", mine), ("pp-2", theirs)] == [
        (access["pp_id"], access["satker_id"]) for access in shown["accesses"]
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"klpd_code": "K1"}, ["PT Budi", "PT Dua"]),
        ({"klpd_code": "L2"}, ["PT Tiga"]),
        ({"klpd_code": "D3"}, []),
        ({"satker_code": "000002"}, ["PT Dua"]),
        ({"satker_code": "1005"}, ["PT Tiga"]),
        ({"klpd_code": "L2", "satker_code": "000002"}, []),
        ({"company_id": "none"}, []),
    ],
)
async def test_filtering_mappings(service: Service, query: dict[str, str], found: list[str]) -> None:
    """By K/L/P/D, by either code of the satker, by company."""
    await map_satker(service, 0)
    await map_satker(service, 1, "dua@lain.example", "PT Dua")
    await map_satker(service, 4, "tiga@lain.example", "PT Tiga")

    shown = await mappings(service, **query)

    assert found == sorted(item["company"]["name"] for item in shown)
    for item in shown:
        assert [item] == await mappings(service, company_id=item["company"]["company_id"])


async def test_leafing_through_mappings(service: Service) -> None:
    """Pages join without a gap or a double."""
    made = [(await map_satker(service, n, f"pp{n}@lain.example", f"PT {n}"))[1] for n in range(5)]

    assert sorted(made) == sorted(item["id"] for item in await every(service, "mappings", limit=2))


async def every(service: Service, path: str, **query: Any) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    while True:
        page = (await call(service, "GET", path, params=query)).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            return seen
        query["cursor"] = page["next_cursor"]


async def test_listing_attempts(service: Service) -> None:
    """Of every state, by state and age, each once; a state asked for alone."""
    _, mapping = await map_satker(service, 0)
    _, opened = await open_registration(service, 1)
    refused = await service.add(service.catalog[2])
    for _ in range(3):
        await service.http.post(f"/v1/satkers/{refused}/mapping/register", json=registration(BUDI["email"]))

    shown = await every(service, "attempts", limit=2)

    assert ["mapped", "refused", "refused", "refused", "uncertain"] == [item["state"] for item in shown]
    assert (mapping, opened) == (shown[0]["id"], shown[4]["id"])
    assert ("PT Budi", None) == (shown[0]["company"]["name"], shown[4]["company"])
    assert sorted(item["created_at"] for item in shown[1:4]) == [item["created_at"] for item in shown[1:4]]
    assert {"email_taken"} == {item["failure"] for item in shown[1:4]}
    assert shown[1:4] == await every(service, "attempts", limit=1, state="refused")
    assert [] == await every(service, "attempts", state="orphan")


async def test_an_overdue_registration(service: Service) -> None:
    """Only what is open for longer than an operator wants to wait is overdue."""
    _, opened = await open_registration(service, 0)
    _, mapping = await map_satker(service, 1)

    async def overdue() -> dict[str, bool]:
        return {item["id"]: item["overdue"] for item in await every(service, "attempts")}

    assert {opened: False, mapping: False} == await overdue()
    async with service.database.begin() as tx:
        await tx.execute(update(Attempt).values(created_at=datetime.now(UTC) - timedelta(seconds=3601)))
    assert {opened: True, mapping: False} == await overdue()


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("mappings", {"cursor": "nonsense"}, "cursor"),
        ("mappings", {"cursor": "WzFd"}, "cursor"),
        ("mappings", {"limit": 101}, "limit"),
        ("mappings", {"state": "mapped"}, "state"),
        ("mappings", {"klpd_code": "a\0"}, "klpd_code"),
        ("attempts", {"cursor": "nonsense"}, "cursor"),
        ("attempts", {"cursor": "WyJtYXBwZWQiLCJ5ZXN0ZXJkYXkiLCJhIl0"}, "cursor"),
        ("attempts", {"cursor": "WyJtYXBwZWQiLCIyMDI2LTAxLTAxIiwiYSJd"}, "cursor"),
        ("attempts", {"cursor": "WyJtYXBwZWQiLCIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjU5IiwiYSJd"}, "cursor"),
        ("attempts", {"state": "lost"}, "state"),
        ("attempts", {"limit": 0}, "limit"),
    ],
)
async def test_asking_with_nonsense(
    shared_service: Service, path: str, query: dict[str, Any], field: str
) -> None:
    """Every bad parameter is 422 at its name."""
    answer = await call(shared_service, "GET", path, params=query)

    assert (422, [field]) == (answer.status_code, [error["field"] for error in answer.json()["errors"]])
