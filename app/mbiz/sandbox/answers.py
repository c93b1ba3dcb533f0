"""How mbizmarket says things: JSON, and one shape for every refusal."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse

Json = dict[str, Any]

RETRY_AFTER = 5  # seconds; for answers that say "later" without a reason to name another moment


class PartnerError(Exception):
    """A refusal on the wire. `errors` maps dotted paths to codes."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        errors: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors
        self.headers = headers

    def as_response(self) -> JSONResponse:
        body: Json = {"code": self.code, "message": self.message}
        if self.errors:
            body["errors"] = [
                {"field": field, "code": code, "message": f"{field}: {code.replace('_', ' ')}"}
                for field, code in self.errors.items()
            ]
        return JSONResponse(body, self.status, self.headers)


def invalid(errors: Mapping[str, str]) -> PartnerError:
    return PartnerError(422, "invalid", "Some fields were not accepted.", errors)


def later(status: int, code: str, seconds: float = RETRY_AFTER) -> PartnerError:
    """A refusal that passes by itself; `Retry-After` is in whole seconds, at least 1."""
    return PartnerError(
        status, code, "Please try again later.", headers={"Retry-After": str(max(1, round(seconds)))}
    )


def gateway_page() -> HTMLResponse:
    """What a tired gateway serves in place of the API: a page, and status 200."""
    return HTMLResponse("<!doctype html><title>Pemeliharaan</title><h1>Sedang dalam pemeliharaan</h1>")


async def read_json(request: Request) -> Json:
    """The body's JSON object; raises PartnerError 400 `malformed_body`."""
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise PartnerError(400, "malformed_body", "The body must be a JSON object in UTF-8.")
    return body
