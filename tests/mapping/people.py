"""What PPs do at their satkers, as the portal's front end asks for it, and what is left behind in the database."""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from app.db import AnyRow, Database
from app.models import Access, Attempt, History
from sqlalchemy import select, update

from tests.canary import PASSWORD
from tests.service import Service, bearer, registration

# For rules that no lock and no constraint has a part in: they are the same on both databases.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@dataclass(frozen=True, slots=True)
class Person:
    """One PP at one of their satkers."""

    service: Service
    satker: str
    headers: dict[str, str]

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        url = f"/v1/satkers/{self.satker}/{path}"
        return await self.service.http.post(url, json=body, headers=self.headers)

    async def register(self, email: str = "baru@satker.example", **changes: Any) -> httpx.Response:
        return await self.post("mapping/register", registration(email, **changes))

    async def log_in(
        self, email: str, password: str = PASSWORD, company_id: str | None = None
    ) -> httpx.Response:
        wanted = {"company_id": company_id} if company_id else {}
        return await self.post("mapping/login", {"email": email, "password": password, **wanted})

    async def confirm(self, company_id: str) -> httpx.Response:
        return await self.post("mapping/confirm", {"company_id": company_id})

    async def enter(self, **body: Any) -> httpx.Response:
        return await self.post("entry", body or None)

    async def step(self) -> str:
        """What entry says to show next."""
        answer = await self.enter()
        assert answer.status_code == 200, answer.text
        return str(answer.json()["next_step"])

    async def mapping(self) -> Any:
        answer = await self.service.http.get(f"/v1/satkers/{self.satker}/mapping", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def status(self) -> str:
        return str((await self.mapping())["status"])

    async def unlink(self) -> httpx.Response:
        return await self.service.http.delete(f"/v1/satkers/{self.satker}/mapping", headers=self.headers)

    async def remove(self, unlink: bool = False) -> httpx.Response:
        query = {"unlink": "true"} if unlink else {}
        url = f"/v1/satkers/{self.satker}"
        return await self.service.http.delete(url, params=query, headers=self.headers)

    async def patch(self, catalog_id: str) -> httpx.Response:
        url = f"/v1/satkers/{self.satker}"
        return await self.service.http.patch(url, json={"catalog_id": catalog_id}, headers=self.headers)


async def person(service: Service, number: int = 1, place: int | str = 0, **claims: Any) -> Person:
    """PP `number` with a catalog satker (its id, or its place in `service.catalog`) on their list."""
    catalog_id = place if isinstance(place, str) else service.catalog[place]
    who = {"sub": f"pp-{number}", "email": f"pp{number}@satker.example", **claims}
    headers = bearer(**who)
    return Person(service, await service.add(catalog_id, headers=headers), headers)


def said(answer: httpx.Response) -> tuple[int, str]:
    """The status, with the problem's code or the mapping's status."""
    body = answer.json() if answer.content else {}
    return answer.status_code, str(body.get("code") or body.get("status") or "")


async def close_company(service: Service, company_id: str) -> None:
    answer = await service.mbiz.post(f"/sandbox/companies/{company_id}", json={"status": "inactive"})
    assert answer.is_success, answer.text


async def join_company(service: Service, account_id: str, company_id: str) -> None:
    answer = await service.mbiz.put(f"/sandbox/accounts/{account_id}/companies/{company_id}")
    assert answer.is_success, answer.text


async def attempts(database: Database) -> list[AnyRow]:
    return await _rows(database, select(*Attempt.__table__.columns).order_by(Attempt.created_at))


async def accesses(database: Database) -> list[AnyRow]:
    return await _rows(database, select(*Access.__table__.columns).order_by(Access.granted_at))


async def told(database: Database) -> list[tuple[str, str]]:
    """Event and outcome of every row of the history but those of the list of satkers, oldest first."""
    rows = await history(database)
    return [(row.event, row.outcome) for row in rows if not row.event.startswith(("satker_", "made_"))]


async def history(database: Database) -> list[AnyRow]:
    return await _rows(database, select(*History.__table__.columns).order_by(History.id))


async def end_leases(database: Database) -> int:
    """As if the process that had registrations under way had died a while ago; how many there were."""
    long_ago = {"lease_until": Attempt.created_at, "ask_at": Attempt.created_at}
    async with database.begin() as tx:
        ended = await tx.execute(update(Attempt).where(Attempt.state == "calling").values(long_ago))
    return ended.rowcount


async def _rows(database: Database, statement: Any) -> list[AnyRow]:
    async with database.reading() as db:
        return list((await db.execute(statement)).all())
