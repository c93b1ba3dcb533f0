"""What linking leaves in the history: a row for every change, in its transaction, and one for every refusal."""

import pytest
from app.mapping import settling
from sqlalchemy import text

from tests.mapping.people import accesses, attempts, close_company, history, on_sqlite, person, said, told
from tests.service import Service

pytestmark = pytest.mark.anyio


async def test_a_row_says_who_did_what_to_which_satker(service: Service) -> None:
    """With names as they were, the way, the company, and the request that it came with."""
    account = await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service)
    answer = await who.log_in("budi@lain.example")
    row = (await history(service.database))[-1]
    (attempt,) = await attempts(service.database)
    expected = {
        "event": "mapped",
        "actor": "pp",
        "actor_pp_id": "pp-1",
        "pp_id": "pp-1",
        "satker_id": who.satker,
        "satker_name": "Satker Kementerian Satu 0",
        "attempt_id": attempt.id,
        "company_id": account["companies"][0]["company_id"],
        "company_name": "PT Budi",
        "via": "login",
        "outcome": "ok",
        "reason": None,
        "request_id": answer.headers["X-Request-Id"],
    }
    assert expected == {name: getattr(row, name) for name in expected}


@on_sqlite
async def test_a_refusal_names_no_company_and_no_attempt(service: Service) -> None:
    """What was refused came to nothing, and what it ran into is not the PP's to read."""
    await service.make_account("budi@lain.example", "PT Budi")
    await (await person(service, 1)).log_in("budi@lain.example")
    await (await person(service, 2)).register()
    row = (await history(service.database))[-1]
    assert ("registration", "satker_already_mapped", "register") == (row.event, row.outcome, row.via)
    assert (None, None, None) == (row.attempt_id, row.company_id, row.company_name)


async def test_replacing_tells_everybody_whose_access_ends(service: Service) -> None:
    """Each PP's own row, all of them the act of the one who replaced the company."""
    old = await service.make_account("lama@lain.example", "PT Lama")
    await service.make_account("baru@lain.example", "PT Baru")
    people = [await person(service, n) for n in (1, 2)]
    for who in people:
        await who.log_in("lama@lain.example")
    await close_company(service, old["companies"][0]["company_id"])
    await people[0].log_in("baru@lain.example")
    ended = [row for row in await history(service.database) if row.event == "access_ended"]
    acts = sorted((row.pp_id, row.actor_pp_id, row.satker_id, row.company_name) for row in ended)
    assert [
        ("pp-1", "pp-1", people[0].satker, "PT Lama"),
        ("pp-2", "pp-1", people[1].satker, "PT Lama"),
    ] == acts


@on_sqlite
async def test_what_leaves_no_row(service: Service) -> None:
    """A question to the person, an outage, an unknown satker, and a proof of what is there already."""
    await service.make_account("sari@lain.example", "PT A", "PT B")
    await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service)
    assert (409, "company_choice_required") == said(await who.log_in("sari@lain.example"))
    for fault, refusal in (
        ("503_before", (503, "mbiz_unavailable")),
        ("garbage", (502, "mbiz_bad_response")),
    ):
        await service.fault("login", fault)
        assert refusal == said(await who.log_in("budi@lain.example"))
    missing = await service.http.post("/v1/satkers/tidak-ada/mapping/confirm", json={"company_id": "C-1"})
    assert (404, "satker_not_found") == said(missing)
    assert [] == await told(service.database)
    for _ in range(2):
        await who.log_in("budi@lain.example")
    assert [("mapped", "ok")] == await told(service.database)


@pytest.mark.parametrize(
    "refusal", ["EmailUnverified", "LinkInProgress", "SatkerAlreadyMapped", "re-sent, then rejected"]
)
async def test_every_refusal_leaves_a_row(sqlite_service: Service, refusal: str) -> None:
    """Whichever rule said no, and whether or not anything had been sent before."""
    service = sqlite_service
    await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service, email_verified=refusal != "EmailUnverified")
    match refusal:
        case "EmailUnverified":
            assert (403, "email_unverified") == said(await who.confirm("C-1"))
            row = ("mapped", "email_unverified")
        case "LinkInProgress":
            await who.register("lost@baru.example")
            assert (409, "link_in_progress") == said(await who.register("lain@baru.example"))
            row = ("registration", "link_in_progress")
        case "SatkerAlreadyMapped":
            await who.log_in("budi@lain.example")
            assert (409, "satker_already_mapped") == said(await who.register())
            row = ("registration", "satker_already_mapped")
        case _:
            await service.fault("register", "503_before")
            await who.register()
            assert (422, "mbiz_rejected") == said(await who.register(password="pendek"))
            row = ("registration", "mbiz_rejected")
    assert row == (await told(service.database))[-1]


FULL = {
    "sqlite": ["CREATE TRIGGER full BEFORE INSERT ON history BEGIN SELECT RAISE(ABORT, 'full'); END"],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'full'; END $$",
        "CREATE TRIGGER full_up BEFORE INSERT ON history FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
}


async def fill_up(service: Service) -> None:
    """From now on no row can be added to the history."""
    async with service.database.begin() as tx:
        for statement in FULL[tx.dialect.name]:
            await tx.execute(text(statement))


async def state(service: Service) -> list[object]:
    rows = [(row.state, row.company_id) for row in await attempts(service.database)]
    held = [(row.satker_id, row.attempt_id) for row in await accesses(service.database)]
    return [rows, held]


@pytest.mark.parametrize("change", ["map", "join", "unlink", "replace", "settle"])
async def test_nothing_happens_that_cannot_be_told(service: Service, change: str) -> None:
    """A change and its row are one transaction: where the row is refused, the change is undone."""
    old = await service.make_account("lama@lain.example", "PT Lama")
    await service.make_account("baru@lain.example", "PT Baru")
    who, colleague, third = [await person(service, n, n // 3) for n in (1, 2, 3)]
    if change in ("join", "unlink", "replace"):
        await who.log_in("lama@lain.example")
    if change == "replace":
        await close_company(service, old["companies"][0]["company_id"])
    if change == "settle":
        await third.register("lost@baru.example")
    before = await state(service)
    await fill_up(service)
    match change:
        case "map" | "replace":
            answer = await who.log_in("baru@lain.example")
        case "join":
            answer = await colleague.log_in("lama@lain.example")
        case "unlink":
            answer = await who.unlink()
        case _:
            answer = await third.enter()
            await third.log_in("lost@baru.example")
    assert answer.status_code >= 500
    assert before == await state(service)


@on_sqlite
async def test_settling_tells_what_the_service_found_out(service: Service) -> None:
    """The act is the system's; no PP is named as having done it."""
    who = await person(service)
    await who.register("lost@baru.example")
    await settling.settle(service.context)
    row = (await history(service.database))[-1]
    assert ("mapped", "system", None, "pp-1", None) == (
        row.event,
        row.actor,
        row.actor_pp_id,
        row.pp_id,
        row.request_id,
    )
