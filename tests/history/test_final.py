"""The database itself refuses to change what happened, whoever asks."""

import pytest
from app.db import Conflict, Database
from app.models import Forgetting, History
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.sql import Executable

from tests.history.rows import row, write

pytestmark = pytest.mark.anyio

FORGETTABLE = {"pp_id": "pseudonym", "actor_pp_id": "pseudonym", "request_id": None}


async def change(database: Database, *statements: Executable) -> None:
    async with database.begin() as tx:
        for statement in statements:
            await tx.execute(statement)


async def rows(database: Database) -> list[tuple[object, ...]]:
    async with database.reading() as db:
        return [tuple(found) for found in await db.execute(select(History.__table__).order_by(History.id))]


@pytest.mark.parametrize(
    "statement",
    [
        update(History).values(outcome="ok"),
        update(History).values(**FORGETTABLE),
        delete(History),
        delete(History).where(History.pp_id == "pp-1"),
    ],
)
async def test_altering_the_history(database: Database, statement: Executable) -> None:
    """No update and no delete passes the trigger."""
    await write(database, [row("pp-1", outcome="email_taken")])
    before = await rows(database)
    with pytest.raises(Conflict) as refused:
        await change(database, statement)
    assert ("history_is_final", before) == (refused.value.name, await rows(database))


async def test_emptying_the_history_at_once(database: Database) -> None:
    """PostgreSQL's TRUNCATE asks a trigger of its own; SQLite's REPLACE would ask none, but for ours."""
    await write(database, [row("pp-1")])
    before = await rows(database)
    statement = "TRUNCATE history"
    if database.is_sqlite:
        columns = ", ".join(column.name for column in History.__table__.columns if column.name != "outcome")
        statement = f"REPLACE INTO history (outcome, {columns}) SELECT 'gone', {columns} FROM history"  # noqa: S608
    with pytest.raises(Conflict):
        await change(database, text(statement))
    assert before == await rows(database)


async def test_forgetting_a_pp(database: Database) -> None:
    """With the PP named in `forgetting`, their id becomes the pseudonym, and nothing else changes."""
    await write(database, [row("pp-1"), row("pp-2"), row("pp-2", actor_pp_id="pp-1")])
    before = await rows(database)
    await change(
        database,
        insert(Forgetting).values(pp_id="pp-1", pseudonym="pseudonym"),
        update(History).where(History.pp_id == "pp-1").values(**FORGETTABLE),
        update(History).where(History.actor_pp_id == "pp-1").values(actor_pp_id="pseudonym", request_id=None),
        delete(Forgetting),
    )
    async with database.reading() as db:
        found = (
            await db.execute(
                select(History.pp_id, History.actor_pp_id, History.request_id).order_by(History.id)
            )
        ).all()
    assert [
        ("pseudonym", "pseudonym", None),
        ("pp-2", "pp-2", "request"),
        ("pp-2", "pseudonym", None),
    ] == [tuple(one) for one in found]
    assert before[1] == (await rows(database))[1]


@pytest.mark.parametrize(
    ("pp_id", "changes"),
    [
        ("pp-1", {"pp_id": "pp-3"}),
        ("pp-1", {"pp_id": "pp-2"}),
        ("pp-1", FORGETTABLE | {"actor_pp_id": "pp-2"}),
        ("pp-1", FORGETTABLE | {"actor_pp_id": None}),
        ("pp-1", FORGETTABLE | {"request_id": "another"}),
        ("pp-1", FORGETTABLE | {"outcome": "email_taken"}),
        ("pp-1", FORGETTABLE | {"company_name": "PT Lain"}),
        ("pp-1", FORGETTABLE | {"company_name": None}),
        ("pp-1", FORGETTABLE | {"event": "unmapped"}),
        ("pp-1", FORGETTABLE | {"id": 99}),
        ("pp-2", FORGETTABLE),
    ],
)
async def test_altering_more_while_forgetting(
    database: Database, pp_id: str, changes: dict[str, object]
) -> None:
    """Even then only that PP's id may go, and only to that pseudonym."""
    await write(database, [row("pp-1"), row("pp-2")])
    before = await rows(database)
    with pytest.raises(Conflict):
        await change(
            database,
            insert(Forgetting).values(pp_id="pp-1", pseudonym="pseudonym"),
            update(History).where(History.pp_id == pp_id).values(**changes),
            delete(Forgetting),
        )
    assert before == await rows(database)


async def test_deleting_while_forgetting(database: Database) -> None:
    """The rows of a PP who is forgotten stay."""
    await write(database, [row("pp-1")])
    with pytest.raises(Conflict):
        await change(
            database, insert(Forgetting).values(pp_id="pp-1", pseudonym="pseudonym"), delete(History)
        )
    assert 1 == len(await rows(database))
