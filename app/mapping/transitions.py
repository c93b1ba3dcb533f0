"""Every change of an attempt's state: compare-and-set, with its history row in the same transaction.

`standing` is held by the transaction. What a function returns says whether this call made the change; a constraint may
refuse instead (app.db.Conflict), and then nothing of the transaction happened.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

from sqlalchemy import bindparam, insert, update

from app.db import AnyRow, Tx
from app.history import store as history
from app.mapping.standing import Standing
from app.mapping.states import Via
from app.models import Access, Attempt, PpSatker
from app.wording import Write

OPEN = ("calling", "uncertain")

_NEW_ATTEMPT, _NEW_ACCESS = insert(Attempt), insert(Access)
_SET_ACCOUNT = (
    update(Access).where(Access.satker_id == bindparam("satker")).values(account_id=bindparam("account"))
)
_FAILURE = (
    update(PpSatker)
    .where(PpSatker.id == bindparam("satker"))
    .values(last_failure_code=bindparam("code"), last_failure_at=bindparam("at"))
)
_RENAME = (
    update(Attempt)
    .where(
        Attempt.id == bindparam("attempt"),
        Attempt.state == "mapped",
        Attempt.catalog_id == bindparam("catalog"),
    )
    .values(company_name=bindparam("name"))
)


class Named(Protocol):
    """What is kept of a company."""

    @property
    def company_id(self) -> str: ...
    @property
    def name(self) -> str: ...


class Given(NamedTuple):
    """A PP's access to a mapping as it was written: all that an answer tells of it."""

    company: Named
    via: Via
    at: datetime


async def insert_mapped(
    tx: Tx,
    standing: Standing,
    *,
    via: Via,
    company: Named,
    account_id: str | None,
    actor: history.Actor = "pp",
) -> Given:
    """A new mapping: proven by log in or confirm, or imported."""
    now = datetime.now(UTC)
    attempt_id = uuid4().hex
    given = Given(company, via, now)
    values = {
        "state": "mapped",
        "via": via,
        "company_id": company.company_id,
        "company_name": company.name,
        "account_id": account_id,
        "mapped_at": now,
    }
    event: history.Event = "imported" if via == "legacy" else "mapped"
    await tx.write(
        (_NEW_ATTEMPT, _fresh(standing, attempt_id, now) | values),
        *_access(standing, attempt_id, given, account_id),
        _entry(standing, event, attempt_id, company=company, via=via, actor=actor),
    )
    return given


async def insert_calling(tx: Tx, standing: Standing, *, digest: str, lease_seconds: float) -> str:
    """The intent of a registration; returns its reference. Forgets the PP's last failure."""
    now = datetime.now(UTC)
    attempt_id = uuid4().hex
    lease = now + timedelta(seconds=lease_seconds)
    values = {
        "sends": 1,
        "state": "calling",
        "via": "register",
        "email_digest": digest,
        "lease_until": lease,
        "ask_at": lease,
    }
    await tx.write((_NEW_ATTEMPT, _fresh(standing, attempt_id, now) | values), *_no_failure(standing))
    return attempt_id


async def call_again(
    tx: Tx, standing: Standing, *, attempt_id: str, sends: int, lease_seconds: float
) -> bool:
    """uncertain → calling: the same registration is sent again under its reference."""
    lease = datetime.now(UTC) + timedelta(seconds=lease_seconds)
    changed = await tx.execute(
        update(Attempt)
        .where(Attempt.id == attempt_id, Attempt.state.in_(OPEN), Attempt.sends == sends)
        .values(
            state="calling",
            sends=sends + 1,
            lease_until=lease,
            ask_at=lease,
            asks=0,
            not_found=0,
            not_found_since=None,
        )
    )
    await tx.write(*_no_failure(standing))
    return bool(changed.rowcount)


async def doubt(
    tx: Tx,
    standing: Standing,
    *,
    attempt_id: str,
    sends: int,
    ask_at: datetime | None,
    actor: history.Actor,
) -> bool:
    """calling → uncertain: nobody knows whether mbizmarket has it. It is asked at `ask_at`, or when it was to be."""
    values = {"state": "uncertain", "lease_until": None, **({"ask_at": ask_at} if ask_at else {})}
    if not await _leave(tx, attempt_id, ("calling",), sends, values):
        return False
    await tx.write(
        _entry(standing, "registration", attempt_id, via="register", outcome="uncertain", actor=actor)
    )
    return True


async def refuse(
    tx: Tx,
    standing: Standing,
    *,
    attempt_id: str,
    sends: int,
    failure: str,
    actor: history.Actor = "pp",
    ask_again_at: datetime | None = None,
) -> bool:
    """calling or uncertain → refused: it came to nothing, and the satker is free."""
    values = {"state": "refused", "failure": failure, "ask_at": ask_again_at, **_closed()}
    if not await _leave(tx, attempt_id, OPEN, sends, values):
        return False
    await _fail(tx, standing, attempt_id, failure, actor)
    return True


async def conflict(
    tx: Tx,
    standing: Standing,
    *,
    attempt_id: str,
    company: Named,
    account_id: str,
    actor: history.Actor,
) -> bool:
    """calling or uncertain → conflict: mbizmarket made it, but its company serves another satker."""
    values = {
        "state": "conflict",
        "failure": "company_already_mapped",
        "company_id": company.company_id,
        "company_name": company.name,
        "account_id": account_id,
        "ask_at": None,
        **_closed(),
    }
    if not await _leave(tx, attempt_id, OPEN, None, values):
        return False
    await _fail(tx, standing, attempt_id, "company_already_mapped", actor)
    return True


async def finish(
    tx: Tx,
    standing: Standing,
    *,
    attempt_id: str,
    company: Named,
    account_id: str | None,
    actor: history.Actor = "pp",
) -> Given | None:
    """calling or uncertain → mapped, on the evidence of the reference or of a proof as the registration's e-mail."""
    given = Given(company, "register", datetime.now(UTC))
    values = {
        "state": "mapped",
        "company_id": company.company_id,
        "company_name": company.name,
        "account_id": account_id,
        "mapped_at": given.at,
        "lease_until": None,
        "ask_at": None,
    }
    if not await _leave(tx, attempt_id, OPEN, None, values):
        return None
    await tx.write(
        *_access(standing, attempt_id, given, account_id),
        _entry(standing, "mapped", attempt_id, company=company, via="register", actor=actor),
    )
    return given


async def orphan(tx: Tx, attempt: AnyRow, company: Named, account_id: str) -> None:
    """refused → orphan: a registration that had been given up turned up after all; operators are told."""
    values = {
        "state": "orphan",
        "company_id": company.company_id,
        "company_name": company.name,
        "account_id": account_id,
        "ask_at": None,
    }
    if await _leave(tx, attempt.id, ("refused",), None, values):
        await tx.write(
            history.entry(
                "registration",
                at=datetime.now(UTC),
                actor="system",
                pp_id=attempt.pp_id,
                satker_id=attempt.satker_id,
                satker_name=attempt.satker_name,
                attempt_id=attempt.id,
                company_id=company.company_id,
                company_name=company.name,
                via="register",
                outcome="orphan",
            )
        )


async def grant(
    tx: Tx,
    standing: Standing,
    *,
    attempt_id: str,
    company: Named,
    via: Via,
    account_id: str | None,
    actor: history.Actor = "pp",
) -> Given | None:
    """Access for one more PP, as long as the mapping lives."""
    if not await _rename(tx, standing, attempt_id, company):
        return None
    given = Given(company, via, datetime.now(UTC))
    event: history.Event = "imported" if via == "legacy" else "access_gained"
    await tx.write(
        *_access(standing, attempt_id, given, account_id),
        _entry(standing, event, attempt_id, company=company, via=via, actor=actor),
    )
    return given


async def keep(tx: Tx, standing: Standing, *, attempt_id: str, company: Named, account_id: str) -> bool:
    """The access remembers the account that was proven last."""
    if not await _rename(tx, standing, attempt_id, company):
        return False
    await tx.execute(_SET_ACCOUNT, {"satker": standing.row.id, "account": account_id})
    return True


def _fresh(standing: Standing, attempt_id: str, now: datetime) -> dict[str, Any]:
    return {
        "id": attempt_id,
        "catalog_id": standing.row.catalog_id,
        "pp_id": standing.pp_id,
        "satker_id": standing.row.id,
        "sends": 0,
        "not_found": 0,
        "asks": 0,
        "created_at": now,
    }


def _closed() -> dict[str, Any]:
    return {"ended_at": datetime.now(UTC), "lease_until": None}


async def _leave(
    tx: Tx,
    attempt_id: str,
    states: tuple[str, ...],
    sends: int | None,
    values: Mapping[str, Any],
) -> bool:
    """The compare-and-set: `sends` tells this try from a later one under the same reference."""
    statement = update(Attempt).where(Attempt.id == attempt_id, Attempt.state.in_(states))
    if sends is not None:
        statement = statement.where(Attempt.sends == sends)
    return bool((await tx.execute(statement.values(**values))).rowcount)


async def _rename(tx: Tx, standing: Standing, attempt_id: str, company: Named) -> bool:
    """Keeps the name as mbizmarket has it, and holds the mapping so that it cannot end meanwhile.

    It must still be this satker's: an operator may have moved it since the standing was read.
    """
    values = {"attempt": attempt_id, "catalog": standing.row.catalog_id, "name": company.name}
    return bool((await tx.execute(_RENAME, values)).rowcount)


def _access(standing: Standing, attempt_id: str, given: Given, account_id: str | None) -> list[Write]:
    """With it, what failed before is forgotten."""
    values = {
        "satker_id": standing.row.id,
        "attempt_id": attempt_id,
        "pp_id": standing.pp_id,
        "account_id": account_id,
        "via": given.via,
        "granted_at": given.at,
    }
    return [(_NEW_ACCESS, values), *_no_failure(standing)]


async def _fail(tx: Tx, standing: Standing, attempt_id: str, failure: str, actor: history.Actor) -> None:
    await tx.write(
        _failure(standing, failure, datetime.now(UTC)),
        _entry(standing, "registration", attempt_id, via="register", outcome=failure, actor=actor),
    )


def _no_failure(standing: Standing) -> list[Write]:
    return [_failure(standing, None, None)] if standing.row.last_failure_code is not None else []


def _failure(standing: Standing, code: str | None, at: datetime | None) -> Write:
    return _FAILURE, {"satker": standing.row.id, "code": code, "at": at}


def _entry(
    standing: Standing,
    event: history.Event,
    attempt_id: str,
    *,
    via: Via,
    company: Named | None = None,
    outcome: str = "ok",
    actor: history.Actor = "pp",
) -> Write:
    return history.entry(
        event,
        at=datetime.now(UTC),
        actor=actor,
        pp_id=standing.pp_id,
        satker_id=standing.row.id,
        satker_name=standing.row.satker_name,
        attempt_id=attempt_id,
        company_id=company.company_id if company else None,
        company_name=company.name if company else None,
        via=via,
        outcome=outcome,
    )
