"""The published document: what FastAPI derives from the code, completed for those who call the service.

Made when somebody asks for it, and imported only then: a worker that nobody asks pays nothing for it.
"""

import json
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.openapi import RETRY_AFTER, TITLE, VERSION
from app.problems import (
    BodyTooLarge,
    CompanyChoiceRequired,
    DatabaseAway,
    InternalError,
    LinkInProgress,
    MalformedBody,
    NotFound,
    Problem,
    RateLimited,
    RoleNotAllowed,
    Unauthenticated,
    UnsupportedMediaType,
    ValidationFailed,
)
from app.published import parts

Node = dict[str, Any]

FOLDER = Path(__file__).parent
EVERYWHERE = (Unauthenticated, RoleNotAllowed, ValidationFailed, RateLimited, InternalError, DatabaseAway)
OPERATORS = (Unauthenticated, NotFound, ValidationFailed, RateLimited, InternalError, DatabaseAway)
WITH_BODY = (MalformedBody, BodyTooLarge, UnsupportedMediaType)
CODES = {kind.code: kind for kind in Problem.__subclasses__()}


def published(app: FastAPI) -> Node:
    """The document of this app."""
    document = get_openapi(
        title=TITLE,
        version=VERSION,
        summary=parts.SUMMARY,
        description=(FOLDER / "about.md").read_text(encoding="utf-8"),
        contact=parts.CONTACT,
        servers=parts.SERVERS,
        tags=parts.TAGS,
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    _without_titles(document)
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas.update(parts.PROBLEM_SCHEMAS)
    _name_the_union(document)
    examples = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
    for path, operation in _operations(document):
        _complete(operation, path, examples.get(operation["operationId"], {}))
    _share_answers(document)
    return document


def _operations(document: Node) -> Iterator[tuple[str, Node]]:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            yield path, operation


def _without_titles(node: Any) -> None:
    """Those that repeat the name of a field."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str) and node.keys() & {"type", "anyOf", "oneOf", "const", "$ref"}:
            del node["title"]
        for inner in node.values():
            _without_titles(inner)
    elif isinstance(node, list):
        for inner in node:
            _without_titles(inner)


def _name_the_union(document: Node) -> None:
    """`entry` answers one of several steps; what has a name of its own, a client can name too."""
    content = document["paths"]["/v1/satkers/{satker_id}/entry"]["post"]["responses"]["200"]["content"]
    union = content["application/json"]["schema"]
    document["components"]["schemas"]["EntryOut"] = {"description": parts.ENTRY, **union}
    content["application/json"]["schema"] = {"$ref": "#/components/schemas/EntryOut"}


def _complete(operation: Node, path: str, examples: Node) -> None:
    responses = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]  # FastAPI's own shape, which is never sent
    if path.startswith("/v1"):
        always = OPERATORS if path.startswith("/v1/admin/") else EVERYWHERE
        for kind in (*always, *(WITH_BODY if "requestBody" in operation else ())):
            codes = responses.setdefault(str(kind.status), {}).setdefault("x-codes", [])
            codes[:] = [kind.code, *(code for code in codes if code != kind.code)]
    else:
        operation["security"] = []
    for status, answer in responses.items():
        if "x-codes" in answer:
            kinds = [CODES[code] for code in answer["x-codes"]]
            responses[status] = _problem_answer(int(status), kinds, examples.get("faults", {}))
        elif "content" in answer:
            _exemplify(answer["content"], examples[status])
        if answer.get("description") == "Successful Response":
            answer["description"] = "As asked." if "content" in answer else "Done; there is nothing to say."
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
    if "requestBody" in operation:
        _exemplify(operation["requestBody"]["content"], examples["request"])
    operation["responses"] = dict(sorted(responses.items()))


def _without_null(schema: Node) -> Node:
    """A parameter is left out; none can be null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**kinds[0], **rest} if len(kinds) == 1 else schema


def _exemplify(content: Node, examples: Node) -> None:
    for kind in content.values():
        kind["examples"] = {name: {"value": value} for name, value in examples.items()}


def _problem_answer(status: int, kinds: list[type[Problem]], faults: dict[str, list[list[str]]]) -> Node:
    schema = {
        "allOf": [{"$ref": "#/components/schemas/ProblemOut"}],
        "required": ["code"],
        "properties": {"code": {"type": "string", "enum": [kind.code for kind in kinds]}},
    }
    examples = {kind.code: {"value": _problem(kind, faults)} for kind in kinds}
    lines = [f"{HTTPStatus(status).phrase}.", *(f"- `{kind.code}`: {kind.when} {kind.do}" for kind in kinds)]
    headers = _headers(status, kinds)
    return {
        "description": "\n".join(lines),
        **({"headers": headers} if headers else {}),
        "content": {"application/problem+json": {"schema": schema, "examples": examples}},
    }


def _problem(kind: type[Problem], faults: dict[str, list[list[str]]]) -> Node:
    named = faults.get(kind.code, [["halaman", "unknown_field"]] if kind is ValidationFailed else [])
    extra = {"companies": parts.OFFERED} if kind is CompanyChoiceRequired else {}
    pairs = [(field, code) for field, code in named]
    return kind(faults=pairs, extra=extra).body("id", "3f0c1f6e0d5b4a0f9d8c7b6a59483726")


def _headers(status: int, kinds: list[type[Problem]]) -> Node:
    if status == 401:
        return {"WWW-Authenticate": {"description": "`Bearer`", "schema": {"type": "string"}}}
    return {"Retry-After": RETRY_AFTER} if status in (429, 503) or LinkInProgress in kinds else {}


def _share_answers(document: Node) -> None:
    """A problem that several operations answer alike stands once, under its code."""
    problems = [
        (operation["responses"], status, answer)
        for _, operation in _operations(document)
        for status, answer in operation["responses"].items()
        if "application/problem+json" in answer.get("content", {})
    ]
    counted = Counter(json.dumps(answer) for _, _, answer in problems)
    shared = document["components"].setdefault("responses", {})
    for responses, status, answer in problems:
        codes = list(answer["content"]["application/problem+json"]["examples"])
        if len(codes) == 1 and counted[json.dumps(answer)] > 1:
            shared[codes[0]] = answer
            responses[status] = {"$ref": f"#/components/responses/{codes[0]}"}
    document["components"]["responses"] = dict(sorted(shared.items()))
