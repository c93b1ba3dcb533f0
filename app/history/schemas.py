"""The history, as it is answered."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

Event = Literal[
    "satker_added",
    "satker_changed",
    "satker_removed",
    "made_primary",
    "mapped",
    "access_gained",
    "access_ended",
    "unmapped",
    "registration",
    "moved",
    "imported",
]


class HistoryItemOut(BaseModel):
    """One thing that happened, with names as they were.

    `actor` is `self` for the caller; other PPs are never named. `satker_id` is the caller's own satker, which may be
    off the list by now, or null. `company_name` is there where the caller has, or had by this act, access to it.
    `outcome` is `ok`, `uncertain`, or the code of the problem that it ended in; further codes may come.
    """

    id: str
    at: datetime
    event: Event
    actor: Literal["self", "pp", "operator", "system"]
    satker_id: str | None
    satker_name: str | None
    company_name: str | None
    via: Literal["legacy", "confirm", "login", "register"] | None
    outcome: str


class HistoryPageOut(BaseModel):
    """`next_cursor` is null on the last page."""

    items: list[HistoryItemOut]
    next_cursor: str | None
