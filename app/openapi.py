"""What a route says of its answers for the published document, which app/published makes when asked for it."""

from typing import Any

from app.problems import Problem

TITLE = "Satu PP Multi Satker"
VERSION = "0.1.0"

Responses = dict[int | str, dict[str, Any]]

RETRY_AFTER = {
    "description": "Seconds until a retry makes sense.",
    "schema": {"type": "integer", "minimum": 1},
}


def problems(*kinds: type[Problem]) -> Responses:
    """The `responses` of a route that may raise these: their codes, which the document spells out."""
    by_status: Responses = {}
    for kind in kinds:
        by_status.setdefault(kind.status, {"x-codes": []})["x-codes"].append(kind.code)
    return by_status
