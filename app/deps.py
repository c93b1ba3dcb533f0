"""What a route may ask for. The only reader of app.state and of what the edge learned about a request.

Everything here is async although nothing waits: FastAPI runs any other dependency in a thread, and the switches cost
as much as the rest of a read. A test finds one that is not.
"""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.types import Scope

from app.auth import Pejabat
from app.db import Database
from app.figures import Observatory
from app.mapping.context import Context
from app.mbiz.client import Call


def context_of(request: Request) -> Context:
    return cast(Context, request.app.state.context)


async def _database(request: Request) -> Database:
    return context_of(request).database


async def _context(request: Request) -> Context:
    return context_of(request)


async def _pejabat(request: Request) -> Pejabat:
    return cast(Pejabat, request.state.pejabat)


async def _call(request: Request) -> Call:
    return call_of(request.scope, context_of(request))


def call_of(scope: Scope, context: Context) -> Call:
    """One budget for every call to mbizmarket that this request makes, counted from its arrival."""
    state = scope["state"]
    call = Call(
        deadline=state["started"] + context.settings.mbiz_deadline_seconds,
        request_id=state["request_id"],
        traceparent=state["traceparent"],
    )
    state["spent"] = call.spent
    return call


async def _address(request: Request) -> str:
    return cast(str, request.state.address)


async def known_query_only(request: Request) -> None:
    """Unknown query parameters are refused, on every route."""
    route = cast(APIRoute, request.scope["route"])
    known = {parameter.alias for parameter in route.dependant.query_params}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name)} for name in unknown]
        )


async def _observatory(request: Request) -> Observatory:
    return cast(Observatory, request.app.state.observatory)


Db = Annotated[Database, Depends(_database)]
Linking = Annotated[Context, Depends(_context)]
Pp = Annotated[Pejabat, Depends(_pejabat)]
Upstream = Annotated[Call, Depends(_call)]
Address = Annotated[str, Depends(_address)]
SatkerId = Annotated[str, Path(description="`id` of a satker on the PP's own list.")]
Seen = Annotated[Observatory, Depends(_observatory)]
# For the published document: the check itself is the edge's.
_BEARER = HTTPBearer(
    scheme_name="portalToken",
    bearerFormat="JWT",
    description="The PP's token as the portal signed it. With `make run`: the demo token that it prints.",
    auto_error=False,
)


def v1_router(tag: str) -> APIRouter:
    """A router of the API: under /v1, with a token, and strict about query parameters."""
    return APIRouter(prefix="/v1", tags=[tag], dependencies=[Depends(_BEARER), Depends(known_query_only)])


class _Json(Response):
    """Its two headers as they are, which starlette would make out of a mapping: a twentieth of a mapping status."""

    def __init__(self, body: bytes) -> None:
        self.status_code, self.body, self.background = 200, body, None
        self.raw_headers = [
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
        ]


def as_json(out: BaseModel) -> Response:
    """For reads asked often: FastAPI would check again what is of its model already, a third of the time of a list."""
    return _Json(out.model_dump_json().encode())
