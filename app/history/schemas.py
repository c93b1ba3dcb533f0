"""The history, as it is answered."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

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
    """One thing that happened, with names as they were."""

    id: str
    at: datetime
    event: Event = Field(description="What happened. Further values may be added.")
    actor: Literal["self", "pp", "operator", "system"] = Field(
        description="`self` is the caller; other PPs are never named."
    )
    satker_id: str | None = Field(description="The caller's own satker, which may be off the list by now.")
    satker_name: str | None
    company_name: str | None = Field(description="Where the caller has, or had by this act, access to it.")
    via: Literal["legacy", "confirm", "login", "register"] | None
    outcome: str = Field(
        description="`ok`, `uncertain`, or the code of the problem that it ended in: a refused log-in is `mapped` "
        "with its code. Further values may be added."
    )


class HistoryPageOut(BaseModel):
    """What happened, newest first."""

    items: list[HistoryItemOut]
    next_cursor: str | None = Field(
        description="Send it as `cursor` to get the next page; null on the last one."
    )
