"""An operator closes a registration whose outcome could not be found out."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from app.mapping import settling
from app.models import Attempt
from sqlalchemy import update

from tests.admin.desk import attempt, call, map_satker, open_registration, status, told
from tests.canary import PASSWORD
from tests.invariants import violations
from tests.service import Service, registration

pytestmark = pytest.mark.anyio

WHY = "ditelepon mbizmarket"


async def resolve(service: Service, attempt_id: str, outcome: str, **body: Any) -> httpx.Response:
    return await call(
        service, "POST", f"attempts/{attempt_id}/resolve", json={"outcome": outcome, "reason": WHY, **body}
    )


async def whole(service: Service) -> None:
    assert [] == await violations(service.database, await service.truth())


async def made(service: Service) -> tuple[str, str]:
    """The company and the account that mbizmarket made for the only registration."""
    [one] = (await service.truth())["registrations"]
    return one["company_id"], one["account_id"]


async def test_resolving_as_mapped(service: Service) -> None:
    """The satker gets the company under its name at mbizmarket, and the PP has access with the account."""
    satker, opened = await open_registration(service, 0)
    company_id, account_id = await made(service)

    answer = await resolve(service, opened, "mapped", company_id=company_id, account_id=account_id)

    assert 200 == answer.status_code, answer.text
    body = answer.json()
    assert ("mapped", "Dinas Contoh", account_id, False) == (
        body["state"],
        body["company"]["name"],
        body["account_id"],
        body["overdue"],
    )
    assert "mapped" == await status(service, satker)
    assert [("mapped", "pp-1", WHY, "ok")] == await told(service)
    entered = (await service.http.post(f"/v1/satkers/{satker}/entry")).json()
    assert "open_mbizmarket" == entered["next_step"]
    assert 0 == await settling.settle(service.context, whatever_the_backoff=True)
    await whole(service)


async def test_resolving_as_mapped_without_the_account(service: Service) -> None:
    """The account is found by the PP's next proof."""
    satker, opened = await open_registration(service, 0)
    company_id, _ = await made(service)

    assert 200 == (await resolve(service, opened, "mapped", company_id=company_id)).status_code
    entered = (await service.http.post(f"/v1/satkers/{satker}/entry")).json()
    assert ("log_in", "account_unknown") == (entered["next_step"], entered["reason"])


async def test_resolving_as_refused(service: Service) -> None:
    """The satker is free at once; what turns up within a day after all is a reported orphan."""
    satker, opened = await open_registration(service, 0)

    answer = await resolve(service, opened, "refused")

    assert ("refused", "never_arrived") == (answer.json()["state"], answer.json()["failure"])
    seen = (await service.http.get(f"/v1/satkers/{satker}/mapping")).json()
    assert ("unmapped", "never_arrived") == (seen["status"], seen["last_failure"]["code"])
    await settling.settle(service.context, whatever_the_backoff=True)
    late = await attempt(service, opened)
    assert ("orphan", await made(service)) == (late.state, (late.company_id, late.account_id))
    assert [("registration", "pp-1", WHY, "never_arrived")] == await told(service)
    await whole(service)


async def test_resolving_as_orphan(service: Service) -> None:
    """The satker is free, the account is on record, and the PP reads to log in with it."""
    satker, opened = await open_registration(service, 0)
    company_id, account_id = await made(service)

    answer = await resolve(service, opened, "orphan", company_id=company_id, account_id=account_id)

    assert ("orphan", company_id, account_id) == (
        answer.json()["state"],
        answer.json()["company"]["company_id"],
        answer.json()["account_id"],
    )
    seen = (await service.http.get(f"/v1/satkers/{satker}/mapping")).json()
    assert ("unmapped", "email_taken") == (seen["status"], seen["last_failure"]["code"])
    assert [("registration", "pp-1", WHY, "orphan")] == await told(service)
    read = (await service.http.get("/v1/history")).json()["items"][0]
    assert ("operator", "orphan", None) == (read["actor"], read["outcome"], read["company_name"])
    body = {"email": "baru@satker.example", "password": PASSWORD}
    linked = await service.http.post(f"/v1/satkers/{satker}/mapping/login", json=body)
    assert 201 == linked.status_code
    await whole(service)


async def test_resolving_one_that_was_left_under_way(service: Service) -> None:
    """Past its lease it is uncertain, and may be closed; before, it is under way."""
    satker, opened = await open_registration(service, 0)
    company_id, account_id = await made(service)

    async def calling(lease: timedelta) -> None:
        async with service.database.begin() as tx:
            now = datetime.now(UTC)
            await tx.execute(
                update(Attempt)
                .where(Attempt.id == opened)
                .values(state="calling", lease_until=now + lease, sends=2)
            )

    await calling(timedelta(seconds=30))
    answer = await resolve(service, opened, "mapped", company_id=company_id)
    assert (409, "link_in_progress") == (answer.status_code, answer.json()["code"])
    assert "calling" == (await attempt(service, opened)).state

    await calling(timedelta(seconds=-1))
    answer = await resolve(service, opened, "orphan", company_id=company_id, account_id=account_id)
    assert (200, "orphan") == (answer.status_code, answer.json()["state"])
    assert "unmapped" == await status(service, satker)
    await whole(service)


async def test_resolving_to_a_company_that_serves_another_satker(service: Service) -> None:
    """The constraint says no, and the registration stays open."""
    _, mapping = await map_satker(service, 1)
    _, opened = await open_registration(service, 0)
    taken = (await attempt(service, mapping)).company_id

    answer = await resolve(service, opened, "mapped", company_id=taken)

    assert (409, "company_already_mapped") == (answer.status_code, answer.json()["code"])
    assert ("uncertain", []) == ((await attempt(service, opened)).state, await told(service))
    await whole(service)


@pytest.mark.parametrize("outcome", ["mapped", "refused", "orphan"])
async def test_resolving_what_is_closed(service: Service, outcome: str) -> None:
    """A mapping, and a registration that was resolved before, stay as they are."""
    _, mapping = await map_satker(service, 1)
    _, opened = await open_registration(service, 0)
    await resolve(service, opened, "refused")
    company = {} if outcome == "refused" else {"company_id": (await attempt(service, mapping)).company_id}
    before = await told(service)

    for closed in (mapping, opened):
        answer = await resolve(service, closed, outcome, **company)
        assert (409, "attempt_closed") == (answer.status_code, answer.json()["code"])
    unknown = await resolve(service, "none", outcome, **company)
    assert (404, "not_found") == (unknown.status_code, unknown.json()["code"])
    assert before == await told(service)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"outcome": "mapped"}, "company_id"),
        ({"outcome": "refused", "company_id": "c"}, "company_id"),
        ({"outcome": "refused", "account_id": "a"}, "account_id"),
        ({"outcome": "lost"}, "outcome"),
        ({"outcome": "mapped", "company_id": "c", "state": "mapped"}, "state"),
        ({"outcome": "mapped", "company_id": "no-such-company"}, "company_id"),
        ({"outcome": "orphan", "reason": ""}, "reason"),
        ({"outcome": "orphan", "reason": None}, "reason"),
    ],
)
async def test_resolving_with_nonsense(sqlite_service: Service, body: dict[str, Any], field: str) -> None:
    """What does not fit the outcome, and a company that mbizmarket does not know, is 422 at its name."""
    _, opened = await open_registration(sqlite_service, 0)

    answer = await resolve(sqlite_service, opened, **body)

    assert (422, [field]) == (answer.status_code, [error["field"] for error in answer.json()["errors"]])
    assert "uncertain" == (await attempt(sqlite_service, opened)).state


async def test_resolving_while_mbizmarket_is_away(sqlite_service: Service) -> None:
    """A company that nobody can look up is not taken on trust; what needs no company goes on."""
    _, opened = await open_registration(sqlite_service, 0)
    await sqlite_service.fault("company", "refuse", times=5)

    answer = await resolve(sqlite_service, opened, "mapped", company_id="c")
    assert (503, "mbiz_unavailable") == (answer.status_code, answer.json()["code"])
    assert 200 == (await resolve(sqlite_service, opened, "refused")).status_code


async def test_resolving_at_once(service: Service) -> None:
    """Of operators, settling and the PP themselves one closes it, and the history has one end."""
    for turn in range(4):
        email = f"baru{turn}@satker.example"
        satker = await service.add(service.catalog[turn])
        await service.fault("register", "500_after")
        await service.http.post(f"/v1/satkers/{satker}/mapping/register", json=registration(email))
        opened = (await call(service, "GET", "attempts", params={"state": "uncertain"})).json()["items"][0][
            "id"
        ]
        company_id = (await service.truth())["registrations"][-1]["company_id"]
        answers = await asyncio.gather(
            resolve(service, opened, "mapped", company_id=company_id),
            resolve(service, opened, "refused"),
            resolve(service, opened, "orphan"),
            settling.settle(service.context, whatever_the_backoff=True),
            service.http.post(f"/v1/satkers/{satker}/mapping/register", json=registration(email)),
        )
        codes = [one.status_code for one in answers if isinstance(one, httpx.Response)]
        assert 1 >= codes[:3].count(200), codes
        assert not [code for code in codes if code >= 500], codes
        await settling.settle(service.context, whatever_the_backoff=True)
        await whole(service)
