"""mbizmarket's document, as its engineers read it: each example is what the document says of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.mbiz.partner_document import load_document, validate_answer, validate_request

Operation = tuple[str, str, dict[str, Any]]


def operations() -> Iterator[Operation]:
    for path, described in load_document()["paths"].items():
        for method, operation in described.items():
            yield method.upper(), path, operation


OPERATIONS = list(operations())


def examples(media: dict[str, Any]) -> list[Any]:
    return [media["example"]] if "example" in media else [one["value"] for one in media["examples"].values()]


def answers(operation: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    shared = load_document()["components"]["responses"]
    for status, answer in operation["responses"].items():
        described = shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
        yield int(status.replace("XX", "00")), described["content"]["application/json"]


@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=[f"{m} {p}" for m, p, _ in OPERATIONS]
)
def test_reading_the_examples(method: str, path: str, operation: dict[str, Any]) -> None:
    """Every body and every answer has one, and it fits exactly."""
    for media in operation.get("requestBody", {}).get("content", {}).values():
        for example in examples(media):
            validate_request(method, path, example)
    for status, media in answers(operation):
        for example in examples(media):
            validate_answer(method, path, status, example, exact=True)


def test_naming_the_operations() -> None:
    """Each has a name of its own, a summary, a tag, and the problems that it may answer as codes."""
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert sorted(set(names)) == sorted(names)
    for method, path, operation in OPERATIONS:
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert operation["tags"], (method, path)
        assert all(examples(media) for _, media in answers(operation)), (method, path)
