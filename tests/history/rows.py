"""History rows for tests, written without the service."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from app.db import Database
from app.models import History
from sqlalchemy import insert

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def row(pp_id: str, **changes: Any) -> dict[str, Any]:
    """A mapping that `pp_id` made, changed by `changes`."""
    return {
        "at": AT,
        "event": "mapped",
        "actor": "pp",
        "actor_pp_id": pp_id,
        "pp_id": pp_id,
        "satker_id": f"satker-of-{pp_id}",
        "satker_name": "SATKER SATU",
        "attempt_id": None,
        "company_id": "c-1",
        "company_name": "PT Satu",
        "via": "login",
        "outcome": "ok",
        "reason": None,
        "request_id": "request",
        **changes,
    }


async def write(database: Database, rows: Sequence[dict[str, Any]]) -> None:
    async with database.begin() as tx:
        await tx.execute(insert(History), list(rows))
