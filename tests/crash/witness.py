"""A witness in the database itself: every change of an attempt's state, whoever made it, in the order they came."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from app.db import AnyRow, Database
from app.models import Attempt
from sqlalchemy import select, text

from tests.crash.processes import GRACE

# From each state to the next. One that was sent twice may have arrived the first time: it is never refused at once.
LEGAL = {
    None: {"calling", "mapped"},
    "calling": {"calling", "uncertain", "mapped", "refused", "conflict"},
    "uncertain": {"calling", "mapped", "refused", "conflict", "orphan"},
    "refused": {"orphan"},
    "mapped": {"removed"},
}

_TABLE = "CREATE TABLE witness (n INTEGER PRIMARY KEY, attempt_id TEXT, was TEXT, became TEXT, sends INTEGER)"
_SQLITE = (
    _TABLE,
    """CREATE TRIGGER witness_insert AFTER INSERT ON attempt BEGIN
    INSERT INTO witness (attempt_id, became, sends) VALUES (new.id, new.state, new.sends); END""",
    """CREATE TRIGGER witness_update AFTER UPDATE OF state ON attempt BEGIN
    INSERT INTO witness (attempt_id, was, became, sends) VALUES (new.id, old.state, new.state, new.sends); END""",
)
_POSTGRESQL = (
    _TABLE.replace("INTEGER PRIMARY KEY", "INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    """CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO witness (attempt_id, was, became, sends)
    VALUES (new.id, CASE TG_OP WHEN 'UPDATE' THEN old.state END, new.state, new.sends); RETURN NULL; END $$""",
    """CREATE TRIGGER witness AFTER INSERT OR UPDATE OF state ON attempt
    FOR EACH ROW EXECUTE FUNCTION witness()""",
)


async def install(database: Database) -> None:
    async with database.begin() as tx:
        for statement in _SQLITE if database.is_sqlite else _POSTGRESQL:
            await tx.execute(text(statement))


async def illegal(database: Database) -> list[str]:
    """I14 and the evidence that freeing a satker needs, in words where they were broken."""
    async with database.reading() as db:
        seen = (await db.execute(text("SELECT * FROM witness ORDER BY n"))).all()
        attempts = (await db.execute(select(*Attempt.__table__.columns))).all()
    return [*_steps(seen), *(broken for attempt in attempts for broken in _freed_too_early(attempt))]


def _steps(seen: Any) -> Iterator[str]:
    states: dict[str, str] = {}
    for step in seen:
        if step.was != states.get(step.attempt_id) or step.became not in LEGAL.get(step.was, ()):
            yield f"I14: {step.attempt_id} went from {step.was} to {step.became}"
        if (step.was, step.became) == ("calling", "refused") and step.sends > 1:
            yield f"I14: {step.attempt_id}, sent {step.sends} times, was refused at once"
        states[step.attempt_id] = step.became


def _freed_too_early(attempt: AnyRow) -> Iterator[str]:
    if attempt.failure != "never_arrived":
        return
    asked = attempt.ended_at - attempt.not_found_since
    enough = timedelta(seconds=GRACE - 0.1)  # it is written a moment after it was judged
    if attempt.not_found < 3 or asked < enough:
        yield f"I1: {attempt.id} was given up after {attempt.not_found} questions in {asked}"
