"""An operator's desk: calls to /v1/admin with the scope, and what stands in the history about them."""

from typing import Any

import httpx
from app.db import AnyRow
from app.models import Access, Attempt, History, PpSatker
from sqlalchemy import select

from tests.canary import PASSWORD
from tests.service import Service, bearer, registration

BUDI = {"email": "budi@lain.example", "password": PASSWORD}
DENIED = "ditolak mbizmarket"


def operator() -> dict[str, str]:
    """Signed when it is used: a run of all tests takes longer than a token lives."""
    return bearer(sub="operator-1", role="ADMIN", email=None, email_verified=None, scope="x mappings:admin")


async def call(service: Service, method: str, path: str, **request: Any) -> httpx.Response:
    return await service.http.request(method, f"/v1/admin/{path}", headers=operator(), **request)


async def mappings(service: Service, **query: Any) -> list[dict[str, Any]]:
    answer = await call(service, "GET", "mappings", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def log_in(
    service: Service, satker_id: str, *, headers: dict[str, str] | None = None, **body: Any
) -> None:
    answer = await service.http.post(
        f"/v1/satkers/{satker_id}/mapping/login", json=BUDI | body, headers=headers
    )
    assert answer.is_success, answer.text


async def map_satker(
    service: Service, number: int, email: str = BUDI["email"], name: str = "PT Budi"
) -> tuple[str, str]:
    """PP 1's satker, mapped to a new company; its id and the mapping's."""
    await service.make_account(email, name)
    satker_id = await service.add(service.catalog[number])
    await log_in(service, satker_id, email=email)
    async with service.database.reading() as db:
        mapping = await db.scalar(select(Access.attempt_id).where(Access.satker_id == satker_id))
    return satker_id, str(mapping)


async def open_registration(service: Service, number: int, fault: str = "500_after") -> tuple[str, str]:
    """PP 1's satker with a registration whose outcome is unknown; its id and the attempt's."""
    satker_id = await service.add(service.catalog[number])
    await service.fault("register", fault)
    answer = await service.http.post(f"/v1/satkers/{satker_id}/mapping/register", json=registration())
    assert answer.status_code == 202, answer.text
    async with service.database.reading() as db:
        attempt = await db.scalar(select(Attempt.id).where(Attempt.satker_id == satker_id))
    return satker_id, str(attempt)


async def attempt(service: Service, attempt_id: str) -> AnyRow:
    async with service.database.reading() as db:
        return (await db.execute(select(*Attempt.__table__.columns).where(Attempt.id == attempt_id))).one()


async def told(service: Service) -> list[tuple[str, str, str | None, str]]:
    """(event, whose satker, reason, outcome) of every act of the operator, oldest first."""
    async with service.database.reading() as db:
        found = await db.execute(
            select(History.event, History.pp_id, History.reason, History.outcome)
            .where(History.actor == "operator", History.actor_pp_id == "operator-1")
            .order_by(History.id)
        )
        return [(row.event, row.pp_id, row.reason, row.outcome) for row in found]


async def satkers(service: Service, pp_id: str) -> dict[str, tuple[str, bool]]:
    """The PP's list: catalog entry and whether it is primary, by id."""
    async with service.database.reading() as db:
        found = await db.execute(
            select(PpSatker.id, PpSatker.catalog_id, PpSatker.is_primary).where(PpSatker.pp_id == pp_id)
        )
        return {row.id: (row.catalog_id, row.is_primary) for row in found}


async def status(service: Service, satker_id: str, headers: dict[str, str] | None = None) -> str:
    answer = await service.http.get(f"/v1/satkers/{satker_id}/mapping", headers=headers)
    return str(answer.json()["status"])
