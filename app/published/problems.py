"""openapi/problems.md, written from app/problems.py: `python -m app.published.problems`."""

import sys
from http import HTTPStatus
from itertools import groupby

from app.problems import MESSAGES, Problem

HEAD = """\
# Every problem, and what to do about it

Written by `python -m app.published.problems` from app/problems.py; a test holds it fresh.

A refusal is `application/problem+json` (RFC 9457): `type`, `title`, `status`, `code`, `request_id`, and `errors` where
fields were refused. Programs go by `code`, which never changes; `title` is for people, in Indonesian or, where
`Accept-Language` prefers it, English. Where an answer has `Retry-After`, wait that many seconds. A code that you do not
know: show its `title` on an error page.
"""
FIELDS = """
## Fields

The entries of `errors`, with `validation_failed` and `mbiz_rejected`: a dotted path in `field`, one of these in `code`,
and the text in `message`.

| code | Indonesian | English |
|---|---|---|
"""


def page() -> str:
    kinds = sorted(Problem.__subclasses__(), key=lambda kind: (kind.status, kind.code))
    parts = [HEAD]
    for status, same in groupby(kinds, key=lambda kind: kind.status):
        parts.append(f"\n## {status} {HTTPStatus(status).phrase}\n")
        parts += [_section(kind) for kind in same]
    rows = (f"| `{code}` | {indonesian} | {english} |\n" for code, (indonesian, english) in MESSAGES.items())
    return "".join([*parts, FIELDS, *rows])


def _section(kind: type[Problem]) -> str:
    return (
        f"\n### `{kind.code}`\n\n"
        f"- When: {kind.when}\n"
        f"- Do: {kind.do}\n"
        f"- Indonesian: “{kind.id}”\n"
        f"- English: “{kind.en}”\n"
    )


if __name__ == "__main__":
    sys.stdout.write(page())
