"""What /metrics tells that nobody counts as it happens: it is looked up when somebody asks, and kept for a moment."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import and_, bindparam, func, or_, select

from app.aio import AsyncConnection
from app.db import DatabaseUnavailable
from app.mapping.context import Context
from app.mapping.settling import count_overdue
from app.metrics import Figures
from app.models import Access, Attempt
from app.tables import Utc

KEPT = 30.0  # seconds: with 1,000,000 attempts PostgreSQL counts for half a second
PATIENCE = 3.0  # seconds for the database; Prometheus waits for ten
SAMPLED_EVERY = 5.0  # seconds, where several workers tell of each other

_BY_STATE = select(Attempt.state, func.count()).group_by(Attempt.state)
_ACCESSES = select(func.count()).select_from(Access)
_OLDEST = select(func.min(Attempt.created_at)).where(
    or_(
        Attempt.state == "uncertain",
        and_(Attempt.state == "calling", Attempt.lease_until < bindparam("now", type_=Utc())),
    )
)
STATES = ("calling", "uncertain", "mapped", "refused", "conflict", "orphan", "removed")


class Observatory:
    """The text of /metrics, whichever of the ports it is asked on."""

    def __init__(self, context: Context, kept: float = KEPT) -> None:
        self._kept = kept
        self._context = context
        self._one_at_a_time = asyncio.Lock()
        self._figures: Figures = {}
        self._until = 0.0

    async def text(self) -> bytes:
        return await self._with(await self._look())

    async def own(self) -> bytes:
        """The process's own numbers alone, of one that serves nobody: replicas tell what the database knows."""
        return await self._with({})

    async def _with(self, figures: Figures) -> bytes:
        self.sample()
        # In a thread: with several workers it reads all their files, and requests must not wait for that.
        return await asyncio.to_thread(self._context.metrics.text, figures)

    def sample(self) -> None:
        """What this process has open now."""
        self._context.metrics.breakers(self._context.mbiz.breakers)
        self._context.metrics.connections(self._context.database.connections())

    async def keep_sampling(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(SAMPLED_EVERY)

    async def _look(self) -> Figures:
        async with self._one_at_a_time:
            if time.monotonic() >= self._until:
                self._figures = await self._ask()
                self._until = time.monotonic() + self._kept
        return self._figures

    async def _ask(self) -> Figures:
        """Of a database that is away there is nothing to tell but that."""
        try:
            async with asyncio.timeout(PATIENCE):
                overdue = await count_overdue(self._context)
                async with self._context.database.reading() as db:
                    return {**await _figures(db), **_one("database_up", 1), **_one("overdue", overdue)}
        except (DatabaseUnavailable, TimeoutError):
            return _one("database_up", 0)


async def _figures(db: AsyncConnection) -> Figures:
    now = datetime.now(UTC)
    found: dict[str, int] = {row[0]: row[1] for row in await db.execute(_BY_STATE)}
    oldest = await db.scalar(_OLDEST, {"now": now})
    age = max(timedelta(), now - oldest) if oldest else timedelta()
    return {
        "satu_pp_attempts": {(state,): found.get(state, 0) for state in STATES},
        **_one("mappings", found.get("mapped", 0)),
        **_one("accesses", await db.scalar(_ACCESSES) or 0),
        **_one("uncertain_oldest_seconds", age.total_seconds()),
    }


def _one(name: str, value: float) -> Figures:
    return {f"satu_pp_{name}": {(): value}}
