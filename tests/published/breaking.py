"""Names what breaks clients of a released document: `python -m tests.published.breaking` for both documents of ours.

openapi/released/ holds the documents as they were last released. Additions that the contract allows (operations, fields
of answers, optional fields of requests, codes, values of `status`, `next_step` and the like) pass; whatever is removed,
renamed, newly demanded or changed in kind is named, and the exit status is 1.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Node = dict[str, Any]

OPENAPI = Path(__file__).parents[2] / "openapi"
DOCUMENTS = ("service.json", "mbizmarket-partner.yaml")
MOST, LEAST = ("maxLength", "maximum", "maxItems"), ("minLength", "minimum", "minItems")


class Comparison:
    """Of two documents, each with its own `$ref`s."""

    def __init__(self, old: Node, new: Node) -> None:
        self.old, self.new = old, new
        self.shared: set[tuple[str, str]] = set()  # answers of several operations that were compared already

    def breaks(self) -> Iterator[str]:
        for path, operations in self.old["paths"].items():
            for method, old in operations.items():
                where = f"{method.upper()} {path}"
                new = self.new["paths"].get(path, {}).get(method)
                if new is None:
                    yield f"{where} is gone"
                else:
                    yield from self._operation(where, old, new)

    def _operation(self, where: str, old: Node, new: Node) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"{where}: its operationId {old['operationId']} is gone"
        was, now = (
            old.get("security", self.old.get("security")),
            new.get("security", self.new.get("security")),
        )
        if now and not was:
            yield f"{where} needs a token"
        yield from self._parameters(where, old.get("parameters", []), new.get("parameters", []))
        yield from self._body(where, old.get("requestBody"), new.get("requestBody"))
        yield from self._answers(where, old["responses"], new["responses"])

    def _parameters(self, where: str, olds: list[Node], news: list[Node]) -> Iterator[str]:
        before = {(one["in"], one["name"]): one for one in (resolved(self.old, one) for one in olds)}
        after = {(one["in"], one["name"]): one for one in (resolved(self.new, one) for one in news)}
        for place, one in after.items():
            if one.get("required") and not before.get(place, {}).get("required"):
                yield f"{where}: parameter {place[1]} is required"
        for place, one in before.items():
            if place not in after:
                yield f"{where}: parameter {place[1]} is gone"
            else:
                yield from self._schema(f"{where}: {place[1]}", one["schema"], after[place]["schema"], True)

    def _body(self, where: str, old: Node | None, new: Node | None) -> Iterator[str]:
        if new and new.get("required") and not (old and old.get("required")):
            yield f"{where}: its body is required"
        for kind, media in (old or {}).get("content", {}).items():
            if kind not in (new or {}).get("content", {}):
                yield f"{where}: it takes {kind} no longer"
            else:
                yield from self._schema(
                    f"{where}: body", media["schema"], new["content"][kind]["schema"], True
                )

    def _answers(self, where: str, olds: Node, news: Node) -> Iterator[str]:
        for status in news.keys() - olds.keys():
            if status.startswith(("2", "3")):
                yield f"{where}: it answers {status}, which no client expects"
        for status in olds:
            if status not in news:
                yield f"{where}: answer {status} is gone"
                continue
            refs = (olds[status].get("$ref", ""), news[status].get("$ref", ""))
            if all(refs) and refs in self.shared:
                continue
            self.shared.add(refs)
            old, new = resolved(self.old, olds[status]), resolved(self.new, news[status])
            for name in old.get("headers", {}).keys() - new.get("headers", {}).keys():
                yield f"{where}: header {name} of {status} is gone"
            for kind, media in old.get("content", {}).items():
                if kind not in new.get("content", {}):
                    yield f"{where}: {status} is {kind} no longer"
                else:
                    now = new["content"][kind]["schema"]
                    yield from self._schema(f"{where}: {status}", media["schema"], now, False)

    def _schema(self, where: str, old: Node, new: Node, sent: bool) -> Iterator[str]:
        before, after = options(self.old, old), options(self.new, new)
        for kind in before.keys() - after.keys():
            if sent or kind != "null":
                yield f"{where}: {kind} is gone"
        for kind in after.keys() - before.keys():
            if not sent and kind in ("null", "string", "integer", "number", "boolean", "array", "object"):
                yield f"{where}: it may be {kind}"
        for kind in before.keys() & after.keys():
            yield from self._same_kind(where, before[kind], after[kind], sent)

    def _same_kind(self, where: str, old: Node, new: Node, sent: bool) -> Iterator[str]:
        yield from values(where, old, new, sent)
        if sent:
            yield from limits(where, old, new)
        elif old.get("format") != new.get("format"):
            yield f"{where}: its format was {old.get('format')}"
        for name, schema in old.get("properties", {}).items():
            if name not in new.get("properties", {}):
                yield f"{where}.{name} is gone"
            else:
                yield from self._schema(f"{where}.{name}", schema, new["properties"][name], sent)
        demanded, promised = set(new.get("required", ())), set(old.get("required", ()))
        for name in demanded - promised if sent else promised & new.get("properties", {}).keys() - demanded:
            yield f"{where}.{name} is required" if sent else f"{where}.{name} may be absent"
        if "items" in old and "items" in new:
            yield from self._schema(f"{where}[]", old["items"], new["items"], sent)


def resolved(document: Node, node: Node) -> Node:
    """With what `$ref` and `allOf` stand for in its place."""
    found: Node = {}
    for part in node.get("allOf", ()):
        found = merged(found, resolved(document, part))
    if "$ref" in node:
        target: Any = document
        for key in node["$ref"].removeprefix("#/").split("/"):
            target = target[key.replace("~1", "/")]
        found = merged(found, resolved(document, target))
    return merged(found, {key: value for key, value in node.items() if key not in ("allOf", "$ref")})


def merged(one: Node, other: Node) -> Node:
    properties = {**one.get("properties", {}), **other.get("properties", {})}
    for name in one.get("properties", {}).keys() & other.get("properties", {}).keys():
        properties[name] = {**one["properties"][name], **other["properties"][name]}
    both = {**one, **other} | ({"properties": properties} if properties else {})
    if isinstance(one.get("required"), list) and isinstance(
        other.get("required"), list
    ):  # a parameter's is a bool
        both["required"] = [*one["required"], *other["required"]]
    return both


def options(document: Node, schema: Node) -> dict[str, Node]:
    """What it may be, by the constant that tells it apart, else by its type."""
    whole = resolved(document, schema)
    alternatives = whole.get("oneOf") or whole.get("anyOf")
    if alternatives:
        rest = {key: value for key, value in whole.items() if key not in ("oneOf", "anyOf")}
        inner = [options(document, one) for one in alternatives]
        return {kind: merged(rest, one) for kinds in inner for kind, one in kinds.items()}
    tag = whole.get("properties", {}).get("next_step", {}).get("const")
    return {
        tag
        or whole.get("type", "anything" if "enum" not in whole and "const" not in whole else "string"): whole
    }


def values(where: str, old: Node, new: Node, sent: bool) -> Iterator[str]:
    before, after = (one.get("enum", [one["const"]] if "const" in one else None) for one in (old, new))
    for value in before or ():
        if after is not None and value not in after:
            yield f"{where}: {value!r} is gone"
    if sent and before is None and after is not None:
        yield f"{where}: it takes only {after}"
    if sent and "default" in old and old["default"] != new.get("default"):
        yield f"{where}: its default was {old['default']!r}"


def limits(where: str, old: Node, new: Node) -> Iterator[str]:
    for name in MOST:
        if name in new and new[name] < old.get(name, float("inf")):
            yield f"{where}: {name} is {new[name]}"
    for name in LEAST:
        if name in new and new[name] > old.get(name, 0):
            yield f"{where}: {name} is {new[name]}"
    for name in ("pattern", "format"):
        if name in new and new[name] != old.get(name):
            yield f"{where}: {name} is {new[name]}"


def load(path: Path) -> Node:
    text = path.read_text(encoding="utf-8")
    document: Node = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    return document


def main() -> int:
    found = [
        f"{name}: {change}"
        for name in DOCUMENTS
        for change in Comparison(load(OPENAPI / "released" / name), load(OPENAPI / name)).breaks()
    ]
    for line in found:
        sys.stderr.write(f"breaks clients: {line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
