"""The published document: what FastAPI derives from the code, with the problems as they are really answered."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.problems import (
    BodyTooLarge,
    CompanyChoiceRequired,
    DatabaseAway,
    InternalError,
    LinkInProgress,
    MalformedBody,
    NotFound,
    Problem,
    ProblemOut,
    RateLimited,
    RoleNotAllowed,
    Unauthenticated,
    UnsupportedMediaType,
    ValidationFailed,
)

TITLE = "Satu PP Multi Satker"
VERSION = "0.1.0"
ABOUT = (
    "Ties each satker of a pejabat pengadaan (PP) to one mbizmarket company. The portal keeps a PP's list of satkers "
    "here, asks `entry` what to show when one is picked, and follows its `next_step`."
)
EVERYWHERE = (Unauthenticated, RoleNotAllowed, ValidationFailed, RateLimited, InternalError, DatabaseAway)
OPERATORS = (Unauthenticated, NotFound, ValidationFailed, RateLimited, InternalError, DatabaseAway)
WITH_BODY = (MalformedBody, BodyTooLarge, UnsupportedMediaType)

Responses = dict[int | str, dict[str, Any]]


def problems(*kinds: type[Problem]) -> Responses:
    """The `responses` of a route that may raise these."""
    by_status: dict[int, list[type[Problem]]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _answer(status, same) for status, same in by_status.items()}


def _answer(status: int, kinds: list[type[Problem]]) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "allOf": [{"$ref": "#/components/schemas/ProblemOut"}],
        "properties": {"code": {"enum": [kind.code for kind in kinds]}},
    }
    headers = _headers(status, kinds)
    if CompanyChoiceRequired in kinds:
        schema["properties"]["companies"] = COMPANIES
    return {
        "description": HTTPStatus(status).phrase + ": " + ", ".join(f"`{kind.code}`" for kind in kinds),
        "content": {"application/problem+json": {"schema": schema}},
        **({"headers": headers} if headers else {}),
    }


def _headers(status: int, kinds: list[type[Problem]]) -> dict[str, Any]:
    if status == 401:
        return {"WWW-Authenticate": {"description": "`Bearer`", "schema": {"type": "string"}}}
    return {"Retry-After": RETRY_AFTER} if status in (429, 503) or LinkInProgress in kinds else {}


RETRY_AFTER = {
    "description": "Seconds until a retry makes sense.",
    "schema": {"type": "integer", "minimum": 1},
}
COMPANIES = {
    "description": "With `company_choice_required`: the free active companies; send one as `company_id`.",
    "type": "array",
    "items": {"$ref": "#/components/schemas/OfferedCompanyOut"},
}


def published(app: FastAPI) -> dict[str, Any]:
    """The document of this app. Made once, then kept by FastAPI."""
    document = get_openapi(
        title=TITLE,
        version=VERSION,
        description=ABOUT,
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"), ProblemOut=problem)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(operation, path)
    return document


def _complete(operation: dict[str, Any], path: str) -> None:
    responses = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]  # FastAPI's own shape, which is never sent
    if not path.startswith("/v1"):
        return
    always = OPERATORS if path.startswith("/v1/admin/") else EVERYWHERE
    kinds = always + (WITH_BODY if "requestBody" in operation else ())
    for status, answer in problems(*kinds).items():
        _merge(responses, str(status), answer)
    operation["responses"] = dict(sorted(responses.items()))


def _merge(responses: dict[str, Any], status: str, answer: dict[str, Any]) -> None:
    if status not in responses:
        responses[status] = answer
        return
    old, new = (_codes(one) for one in (responses[status], answer))
    old[:] = [*new, *(code for code in old if code not in new)]
    responses[status]["description"] = (
        HTTPStatus(int(status)).phrase + ": " + ", ".join(f"`{code}`" for code in old)
    )


def _codes(answer: dict[str, Any]) -> list[str]:
    schema = answer["content"]["application/problem+json"]["schema"]
    codes: list[str] = schema["properties"]["code"]["enum"]
    return codes
