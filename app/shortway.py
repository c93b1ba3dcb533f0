"""The short way: what is asked all the time is answered before Starlette's and FastAPI's machinery, which takes
as long as all the rest of a mapping status.

It takes plain requests alone. Whatever else there is about a request (a query, a condition, another method) goes the
long way, and both answer alike.
"""

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from pydantic import ValidationError
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.auth import Pejabat
from app.db import DatabaseUnavailable
from app.deps import call_of
from app.mapping import routes as mapping
from app.mapping.context import Context
from app.mapping.schemas import LogInIn
from app.problems import DatabaseAway, Problem, respond
from app.satker import routes as satker


class Short(NamedTuple):
    """A route's template, as log lines and metrics name it, and its answer by what stands in the path."""

    method: str
    path: str
    answer: Callable[..., Awaitable[Response]]


ROUTES = {
    "satkers": Short("GET", "/v1/satkers", satker.list_satkers),
    "satker": Short("GET", "/v1/satkers/{satker_id}", satker.get_satker),
    "mapping": Short("GET", "/v1/satkers/{satker_id}/mapping", mapping.get_mapping),
    "log_in": Short("POST", "/v1/satkers/{satker_id}/mapping/login", mapping.log_in_and_map),
}
PATH = re.compile(
    r"/v1/(?P<satkers>satkers)|/v1/satkers/(?P<satker>[^/]+)|/v1/satkers/(?P<mapping>[^/]+)/mapping"
    r"|/v1/satkers/(?P<log_in>[^/]+)/mapping/login"
)
CONDITION = b"if-none-match"


class ShortWay:
    """Behind the gate: who is calling is known, and may."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        self.context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = PATH.fullmatch(scope["path"]) if _is_plain(scope) else None
        if found is None or ROUTES[str(found.lastgroup)].method != scope["method"]:
            await self.app(scope, receive, send)
        elif found.lastgroup == "log_in":
            await self._log_in(scope, receive, send, found)
        else:
            await (await self._answer(scope, found))(scope, receive, send)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send, found: re.Match[str]) -> None:
        try:
            body = LogInIn.model_validate_json(scope["state"]["body"])
        except ValidationError:  # what is wrong with it is told the long way
            await self.app(scope, receive, send)
            return
        more = {"call": call_of(scope, self.context), "address": scope["state"]["address"], "body": body}
        await (await self._answer(scope, found, **more))(scope, receive, send)

    async def _answer(self, scope: Scope, found: re.Match[str], **more: object) -> Response:
        kind = str(found.lastgroup)
        route = scope["route"] = ROUTES[kind]
        path_params = scope["path_params"] = {} if kind == "satkers" else {"satker_id": found[kind]}
        pejabat: Pejabat = scope["state"]["pejabat"]
        try:
            return await route.answer(self.context, pejabat, **path_params, **more)
        except Problem as problem:
            return respond(problem, HTTPConnection(scope))
        except DatabaseUnavailable:
            return respond(DatabaseAway(retry_after=DatabaseAway.RETRY), HTTPConnection(scope))


def _is_plain(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and not scope["query_string"]
        and all(name != CONDITION for name, _ in scope["headers"])
    )
