"""Holds requests and answers against openapi/mbizmarket-partner.yaml, which mbizmarket's engineers read."""

import functools
import re
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

Node = dict[str, Any]

DOCUMENT_PATH = Path(__file__).parents[2] / "openapi" / "mbizmarket-partner.yaml"


@functools.cache
def load_document() -> Node:
    document: Node = yaml.safe_load(DOCUMENT_PATH.read_text(encoding="utf-8"))
    return document


def validate_answer(method: str, path: str, status: int, body: object, *, exact: bool = False) -> None:
    """Raises AssertionError when the document has no such answer, ValidationError when it has another shape.

    `path` is the path as requested or the document's template. `exact` refuses fields that the document does
    not name, too; mbizmarket may add fields, so this is for answers that we write ourselves.
    """
    responses = _operation(method, path)["responses"]
    response = responses.get(str(status)) or responses.get(f"{status // 100}XX")
    assert response is not None, f"{method} {path} has no answer {status}"
    _validate(_resolve(response)["content"]["application/json"]["schema"], body, exact)


def validate_request(method: str, path: str, body: object) -> None:
    """As validate_answer, and always exact: we send nothing but what it names. A form is a dict."""
    request = _operation(method, path).get("requestBody")
    assert request is not None, f"{method} {path} takes no body"
    (content,) = request["content"].values()
    _validate(content["schema"], body, exact=True)


def _operation(method: str, path: str) -> Node:
    for template, item in load_document()["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and method.lower() in item:
            operation: Node = item[method.lower()]
            return operation
    raise AssertionError(f"{method} {path} is not in the document")


def _resolve(node: Node) -> Node:
    while reference := node.get("$ref"):
        node = functools.reduce(lambda part, key: part[key], reference[2:].split("/"), load_document())
    return node


def _validate(schema: Node, body: object, exact: bool) -> None:
    absolute = _with_base(_closed(schema) if exact else schema)
    Draft202012Validator(absolute, registry=_registry(exact)).validate(body)


@functools.cache
def _registry(exact: bool) -> Registry[Any]:
    document = _with_base(_closed(load_document()) if exact else load_document())
    resource = DRAFT202012.create_resource(document)
    registry: Registry[Any] = Registry().with_resource("urn:partner", resource)
    return registry


def _with_base(node: Any) -> Any:
    """The same with every `#/…` made absolute, so that a part can be used on its own."""
    if isinstance(node, dict):
        return {
            key: f"urn:partner{value}" if key == "$ref" and isinstance(value, str) else _with_base(value)
            for key, value in node.items()
        }
    return [_with_base(item) for item in node] if isinstance(node, list) else node


def _closed(node: Any) -> Any:
    """The same with every object schema closed to further fields."""
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(value) for key, value in node.items()}
    return closed | {"additionalProperties": False} if isinstance(node.get("properties"), dict) else closed
