"""Look-ups in the catalog: a satker within its K/L/P/D, a K/L/P/D among all.

Best matches come first, and reading stops early. Where few rows match, one statement brings them all with their ranks.
Where many do, each rank is read in the order of names until the page is full. A page goes on behind the last row of the
page before, so it stays right while rows are inserted.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    case,
    literal,
    or_,
    select,
    text,
    true,
    tuple_,
)

from app import cursors
from app.aio import AsyncConnection
from app.catalog.text import CODES, escaped, is_clean, words
from app.db import AnyRow, AnySelect, Database
from app.held import Reader
from app.models import CatalogSatker, Klpd
from app.wording import Values

Fetch = Callable[[AnySelect, Values], Awaitable[Sequence[AnyRow]]]

FEW = 200  # at most so many matches are sorted here; more than the longest page
# How well a row matches: each word of the query is a whole word of it, the start of one, or any part of one. The code
# counts as a word that has no other parts than its start.
WHOLE, START, PART = range(3)


@dataclass(frozen=True, slots=True)
class Page:
    """`next_cursor` is None on the last page."""

    items: list[Row[Any]]
    next_cursor: str | None


@dataclass(frozen=True, eq=False)
class _List:
    """What is looked through: the columns it answers, and how its rows are found and told apart."""

    columns: tuple[ColumnElement[Any], ...]
    name: ColumnElement[str]
    key: ColumnElement[str]
    search: ColumnElement[str]
    within: ColumnElement[bool]


_c = CatalogSatker.__table__.c
_SATKERS = _List(
    (_c.id, _c.code, _c.kd_satker, _c.name, _c.klpd_code),
    _c.name,
    _c.id,
    _c.search,
    and_(_c.klpd_code == bindparam("klpd"), _c.active),
)
_k = Klpd.__table__.c
_KLPDS = _List((_k.code, _k.name, _k.kind), _k.name, _k.code, _k.search, true())

_CUSTOM_PLANS = text("SET LOCAL plan_cache_mode = force_custom_plan")
_KLPD_NAME = select(Klpd.name).where(Klpd.code == bindparam("klpd"))


async def find_klpds(reader: Reader, q: str, *, cursor: str | None, limit: int) -> Page:
    """K/L/P/D that match `q`, all when it is blank. Raises BadCursor."""
    return await _page(reader.fetch, _KLPDS, q, {}, cursor, limit)


async def find_satkers(
    database: Database, klpd_code: str, q: str, *, cursor: str | None, limit: int
) -> tuple[str, Page] | None:
    """The K/L/P/D's name and its shown satkers that match `q`, all when it is blank; None when there is no such
    K/L/P/D. Raises BadCursor."""
    if not is_clean(klpd_code):  # PostgreSQL would refuse to look for it
        return None
    async with _planned_anew(database) as connection:
        klpd_name = await connection.scalar(_KLPD_NAME, {"klpd": klpd_code})
        if klpd_name is None:
            return None
        return klpd_name, await _page(_by(connection), _SATKERS, q, {"klpd": klpd_code}, cursor, limit)


@asynccontextmanager
async def _planned_anew(database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection on which PostgreSQL plans every statement for its own values.

    One plan for all patterns, as other statements have it, would read the whole K/L/P/D for each: 8 ms instead of 0.4.
    """
    if database.is_sqlite:
        async with database.reading() as connection:
            yield connection
    else:
        async with database.begin() as tx:
            await tx.execute(_CUSTOM_PLANS)
            yield tx


def _by(connection: AsyncConnection) -> Fetch:
    async def fetch(statement: AnySelect, values: Values) -> Sequence[AnyRow]:
        return (await connection.execute(statement, values)).all()

    return fetch


async def _page(
    fetch: Fetch, what: _List, q: str, scope: dict[str, Any], cursor: str | None, limit: int
) -> Page:
    after = _place(cursor) if cursor else (WHOLE, "", "")
    terms = tuple(
        sorted(dict.fromkeys(words(q)), key=len, reverse=True)
    )  # long ones are rare: they decide soonest
    values = scope | _patterns(terms)
    if terms:
        rows = await _ranked(fetch, what, len(terms), values, after, limit + 1)
    else:
        start = {"after_name": after[1], "after_key": after[2], "limit": limit + 1}
        rows = list(await fetch(_in_order(what), values | start))
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(rows[:limit], last and cursors.write(str(last.rank), last.at_name, last.at_key))


async def _ranked(
    fetch: Fetch,
    what: _List,
    terms: int,
    values: dict[str, Any],
    after: tuple[int, str, str],
    wanted: int,
) -> list[Row[Any]]:
    matches = await fetch(_matches(what, terms), values)
    if len(matches) <= FEW:
        places = sorted(((row.rank, row.at_name, row.at_key), row) for row in matches)
        return [row for place, row in places if place > after][:wanted]
    rows: list[Row[Any]] = []
    for rank in range(after[0], PART + 1):
        _, name, key = after if rank == after[0] else (rank, "", "")
        start = {"after_name": name, "after_key": key, "limit": wanted - len(rows)}
        rows += await fetch(_matches_of_rank(what, terms, rank), values | start)
        if len(rows) == wanted:
            break
    return rows


@lru_cache(maxsize=256)
def _matches(what: _List, terms: int) -> Select[Any]:
    """All that match, at most one more than FEW."""
    statement = _select(what, _rank(what, terms)).where(what.within, _reaching(what, terms, PART))
    return statement.order_by(what.name, what.key).limit(FEW + 1)


@lru_cache(maxsize=256)
def _matches_of_rank(what: _List, terms: int, rank: int) -> Select[Any]:
    mine = _rank(what, terms)
    statement = _select(what, mine).where(
        what.within, _reaching(what, terms, rank), mine == rank, _behind(what)
    )
    return statement.order_by(what.name, what.key).limit(bindparam("limit"))


@lru_cache(maxsize=2)
def _in_order(what: _List) -> Select[Any]:
    statement = _select(what, literal(WHOLE)).where(what.within, _behind(what))
    return statement.order_by(what.name, what.key).limit(bindparam("limit"))


def _select(what: _List, rank: ColumnElement[int]) -> Select[Any]:
    return select(*what.columns, rank.label("rank"), what.name.label("at_name"), what.key.label("at_key"))


def _behind(what: _List) -> ColumnElement[bool]:
    return tuple_(what.name, what.key) > tuple_(bindparam("after_name"), bindparam("after_key"))


def _reaching(what: _List, terms: int, rank: int) -> ColumnElement[bool]:
    """Rows of this rank or a better one."""
    return and_(*(_reaches(what.search, n, rank) for n in range(terms)))


def _reaches(search: ColumnElement[str], n: int, rank: int) -> ColumnElement[bool]:
    def like(pattern: str) -> ColumnElement[bool]:
        return search.like(bindparam(f"{pattern}{n}"), escape="!")

    if rank == WHOLE:
        return like("whole")
    if rank == START:
        return like("start")
    # The first says little about codes, but it is what an index can serve, and it rules out most rows by itself.
    return and_(like("part"), or_(like("named"), like("start")))


def _rank(what: _List, terms: int) -> ColumnElement[int]:
    whole, start = (_reaching(what, terms, rank) for rank in (WHOLE, START))
    return case((whole, WHOLE), (start, START), else_=PART)


def _patterns(terms: tuple[str, ...]) -> dict[str, str]:
    """The bind parameters. How a search text is built is what tells the ranks apart."""
    values: dict[str, str] = {}
    for n, term in enumerate(terms):
        plain = escaped(term)
        values |= {f"whole{n}": f"% {plain} %", f"start{n}": f"% {plain}%"}
        values |= {f"part{n}": f"%{plain}%", f"named{n}": f"%{plain}%{CODES}%"}
    return values


def _place(cursor: str) -> tuple[int, str, str]:
    rank, name, key = cursors.read(cursor, str, 3)
    if rank not in ("0", "1", "2") or not is_clean(name + key):
        raise cursors.BadCursor
    return int(rank), name, key
