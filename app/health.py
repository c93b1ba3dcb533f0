"""Is the process alive, and can it serve: open paths for whoever runs it."""

import asyncio

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import text

from app.db import SCHEMA, Database, DatabaseUnavailable
from app.deps import Db, Linking, Seen
from app.metrics import CONTENT_TYPE
from app.openapi import problems
from app.problems import NotFound

router = APIRouter(tags=["Operations"])
PATIENCE = 2.0  # seconds for the database: whoever asks has not many more

_VERSION = text("SELECT version_num FROM alembic_version")


class HealthOut(BaseModel):
    """How the service is."""

    status: str = Field(description="`ok`, `database_unavailable` or `schema_behind`.")


class MetricsResponse(Response):
    media_type = CONTENT_TYPE


@router.get("/healthz", operation_id="getHealth", summary="The process is alive")
async def get_health() -> HealthOut:
    """Asks nobody: when this fails, start the process anew."""
    return HealthOut(status="ok")


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="The database is there, with this version's tables",
    responses={503: {"description": "Not ready.", "model": HealthOut}},
)
async def get_readiness(db: Db, response: Response) -> HealthOut:
    """While it is 503, send no requests here. mbizmarket's state does not matter, since reads go on without it."""
    status = await _status(db)
    if status != "ok":
        response.status_code = 503
    return HealthOut(status=status)


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="What the service counts about itself, for Prometheus",
    response_class=MetricsResponse,
    responses=problems(NotFound),
)
async def get_metrics(context: Linking, seen: Seen) -> Response:
    """Not here where METRICS_PORT gives them a port of their own."""
    if context.settings.metrics_port is not None:
        raise NotFound
    return MetricsResponse(await seen.text())


async def _status(database: Database) -> str:
    """mbizmarket is not asked: reads go on without it. A newer schema is one that this version can live with."""
    try:
        async with asyncio.timeout(PATIENCE), database.reading() as db:
            version = await db.scalar(_VERSION)
    except (DatabaseUnavailable, TimeoutError):
        return "database_unavailable"
    return "ok" if version and version >= SCHEMA else "schema_behind"
