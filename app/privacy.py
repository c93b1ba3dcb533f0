"""Personal data: kept no longer than it is needed, copied out for whom it is about, and forgotten for good."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Update,
    bindparam,
    case,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from app.aio import AsyncConnection
from app.db import AnyRow, AnySelect, Database
from app.history.store import Operator, acting
from app.models import Access, Attempt, CatalogSatker, Forgetting, History, PpSatker
from app.problems import LinkInProgress
from app.satker import store as satkers

BATCH = 500  # rows a transaction, so that nobody waits for a purge

CLOSED_WITH_DIGEST = ("mapped", "removed", "conflict", "orphan")


@dataclass(frozen=True, slots=True)
class Purged:
    attempts: int
    digests: int

    def text(self) -> str:
        return f"purged {self.attempts} refused attempts and {self.digests} e-mail digests"


@dataclass(frozen=True, slots=True)
class Forgotten:
    satkers: int
    attempts: int
    history: int

    def text(self) -> str:
        if self == Forgotten(0, 0, 0):
            return "nothing is stored about this PP"
        return (
            f"forgotten: {self.satkers} satkers removed, "
            f"{self.attempts} attempts and {self.history} history rows under a pseudonym"
        )


class RegistrationOpen(Exception):
    """Whether mbizmarket has an account for the PP is not known yet, so nothing may be forgotten yet."""


async def purge(database: Database, days: int) -> Purged:
    """Refused attempts that ended so long ago go, and the e-mail digests of others. Open registrations are spared,
    and so is the history, which holds neither e-mails nor digests of them.
    """
    before = datetime.now(UTC) - timedelta(days=days)
    refused = (Attempt.state == "refused", Attempt.ended_at < before)
    digests = (
        Attempt.state.in_(CLOSED_WITH_DIGEST),
        Attempt.email_digest.is_not(None),
        func.coalesce(Attempt.ended_at, Attempt.mapped_at) < before,
    )
    return Purged(
        attempts=await _in_batches(database, delete(Attempt), refused),
        digests=await _in_batches(database, update(Attempt).values(email_digest=None), digests),
    )


async def _in_batches(
    database: Database, change: Delete | Update, wanted: Sequence[ColumnElement[bool]]
) -> int:
    """What is changed is judged again by the change itself: a refused one may have turned up in between."""
    page = (
        select(Attempt.id).where(Attempt.id > bindparam("after"), *wanted).order_by(Attempt.id).limit(BATCH)
    )
    changed, last = 0, ""
    while True:
        async with database.reading() as db:
            ids = (await db.scalars(page, {"after": last})).all()
        if not ids:
            return changed
        async with database.begin() as tx:
            changed += (await tx.execute(change.where(Attempt.id.in_(ids), *wanted))).rowcount
        last = ids[-1]


async def export(database: Database, pp_id: str) -> dict[str, Any]:
    """Everything that is stored about a PP, ready for JSON. Of other people it has nothing, not even their ids."""
    of_pp = History.pp_id == pp_id
    actor = case(
        (History.actor_pp_id == pp_id, "self"), (History.actor == "pp", "another PP"), else_=History.actor
    )
    parts: dict[str, AnySelect] = {
        "satkers": _columns(PpSatker, CatalogSatker.name.label("satker_name"), without=("pp_id",))
        .join(CatalogSatker, CatalogSatker.id == PpSatker.catalog_id)
        .where(PpSatker.pp_id == pp_id)
        .order_by(PpSatker.created_at),
        "accesses": _columns(Access, without=("pp_id",)).where(Access.pp_id == pp_id),
        "attempts": _columns(Attempt, without=("pp_id",))
        .where(Attempt.pp_id == pp_id)
        .order_by(Attempt.created_at),
        "history": _columns(
            History,
            actor.label("actor"),
            case((of_pp, "self"), else_="another PP").label("about"),
            case((of_pp, History.satker_id)).label("satker_id"),
            without=("pp_id", "actor", "actor_pp_id", "satker_id"),
        )
        .where(or_(of_pp, History.actor_pp_id == pp_id))
        .order_by(History.id),
    }
    async with database.reading() as db:
        found = {name: [_plain(row) for row in await db.execute(part)] for name, part in parts.items()}
    return {"pp_id": pp_id, "exported_at": datetime.now(UTC).isoformat(), **found}


def _columns(model: type[Any], *more: ColumnElement[Any], without: tuple[str, ...]) -> AnySelect:
    return select(*(column for column in model.__table__.columns if column.name not in without), *more)


def _plain(row: AnyRow) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row._mapping.items()
    }


async def forget(database: Database, pp_id: str) -> Forgotten:
    """Accesses end as by unlink, the list goes, and what has to stay is about a random pseudonym from now on.

    Once nothing is stored any more it does nothing. Raises RegistrationOpen, and then nothing has changed.
    """
    with acting(Operator(None, "forget")):
        async with database.begin() as tx:
            removed = await _remove_list(tx, pp_id)
            pseudonym = f"forgotten-{secrets.token_hex(8)}"
            attempts = await tx.execute(
                update(Attempt)
                .where(Attempt.pp_id == pp_id)
                .values(pp_id=pseudonym, email_digest=None, account_id=None)
            )
            return Forgotten(removed, attempts.rowcount, await _pseudonymise(tx, pp_id, pseudonym))


async def _remove_list(tx: AsyncConnection, pp_id: str) -> int:
    """The primary satker last, as the rules of the list have it."""
    await satkers.lock_list(tx, pp_id)
    own = select(PpSatker.id).where(PpSatker.pp_id == pp_id).order_by(PpSatker.is_primary, PpSatker.id)
    ids = (await tx.scalars(own)).all()
    try:
        for satker_id in ids:
            await satkers.remove(tx, pp_id, satker_id, unlink=True)
    except LinkInProgress:
        raise RegistrationOpen from None
    return len(ids)


async def _pseudonymise(tx: AsyncConnection, pp_id: str, pseudonym: str) -> int:
    """The one change of the history that its trigger lets pass. The request's id goes too: logs know whose it was."""
    own_act = History.actor_pp_id == pp_id
    values = {
        "pp_id": case((History.pp_id == pp_id, pseudonym), else_=History.pp_id),
        "actor_pp_id": case((own_act, pseudonym), else_=History.actor_pp_id),
        "request_id": case((own_act, null()), else_=History.request_id),
    }
    await tx.execute(insert(Forgetting).values(pp_id=pp_id, pseudonym=pseudonym))
    changed = await tx.execute(update(History).where(or_(History.pp_id == pp_id, own_act)).values(**values))
    await tx.execute(delete(Forgetting).where(Forgetting.pp_id == pp_id))
    return changed.rowcount
