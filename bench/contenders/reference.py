"""The reference: Starlette and asyncpg, one route, one indexed join, JSON. No authentication."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LOOKUP = """
    SELECT s.id, a.state, a.company_id, a.company_name, x.via, x.granted_at
    FROM pp_satker s
    LEFT JOIN attempt a ON a.catalog_id = s.catalog_id AND a.state IN ('calling', 'uncertain', 'mapped')
    LEFT JOIN access x ON x.satker_id = s.id AND x.attempt_id = a.id
    WHERE s.id = $1
"""


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    place = {"host": os.environ["PGHOST"], "port": os.environ["PGPORT"], "user": "postgres"}
    async with asyncpg.create_pool(
        **place, database=os.environ["PGDATABASE"], min_size=16, max_size=16
    ) as pool:
        app.state.pool = pool
        yield


async def get_mapping(request: Request) -> Response:
    row = await request.app.state.pool.fetchrow(LOOKUP, request.path_params["satker_id"])
    if row is None:
        return JSONResponse({"code": "satker_not_found"}, 404)
    mapped = row["via"] is not None
    company = {"company_id": row["company_id"], "name": row["company_name"]} if mapped else None
    return JSONResponse(
        {
            "satker_id": row["id"],
            "status": "mapped" if mapped else "unmapped",
            "company": company,
            "via": row["via"],
            "mapped_at": row["granted_at"] and row["granted_at"].isoformat(),
            "last_failure": None,
        }
    )


app = Starlette(routes=[Route("/v1/satkers/{satker_id}/mapping", get_mapping)], lifespan=lifespan)
