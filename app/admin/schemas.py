"""What operators read and send."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.fields import In, Name, OpaqueId
from app.satker.schemas import CompanyOut

State = Literal["calling", "uncertain", "mapped", "refused", "conflict", "orphan", "removed"]
Via = Literal["legacy", "confirm", "login", "register"]
NEXT = Field(description="Send it as `cursor` to get the next page; null on the last one.")
REASON = Field(description="Kept in the history. Name no person in it.")


class AdminAccessOut(BaseModel):
    """A PP's access to a mapping."""

    pp_id: str
    satker_id: str
    account_id: str | None = Field(description="The account that they proved, where it is known.")
    via: Via
    granted_at: datetime


class AdminSatkerOut(BaseModel):
    """A satker of the catalog."""

    catalog_id: str
    klpd_code: str
    klpd_name: str
    code: str | None
    kd_satker: str | None
    name: str


class AdminMappingOut(BaseModel):
    """A mapping that lives."""

    id: str
    satker: AdminSatkerOut
    company: CompanyOut
    via: Via = Field(description="How it was first made.")
    mapped_at: datetime
    accesses: list[AdminAccessOut]


class AdminMappingPageOut(BaseModel):
    """Mappings in the order of their companies' ids."""

    items: list[AdminMappingOut]
    next_cursor: str | None = NEXT


class AdminAttemptOut(BaseModel):
    """A registration or a mapping in whichever state."""

    id: str = Field(description="The reference that mbizmarket knows it by.")
    state: State
    overdue: bool = Field(description="Its outcome has been open for longer than UNCERTAIN_ALERT_SECONDS.")
    satker: AdminSatkerOut
    pp_id: str
    satker_id: str
    via: Via
    company: CompanyOut | None
    account_id: str | None
    failure: str | None = Field(description="A problem's code, or `never_arrived`.")
    sends: int = Field(description="How often it was sent, always under the same reference.")
    created_at: datetime
    ask_at: datetime | None = Field(description="When mbizmarket is asked about it next.")
    mapped_at: datetime | None
    ended_at: datetime | None


class AdminAttemptPageOut(BaseModel):
    """Attempts by state, then the oldest first."""

    items: list[AdminAttemptOut]
    next_cursor: str | None = NEXT


class MoveIn(In):
    """The satker that the company really serves."""

    catalog_id: OpaqueId
    reason: Name = REASON


class ResolveIn(In):
    """`mapped` needs the `company_id`; `refused` takes neither id; `orphan` takes what is known of the account."""

    outcome: Literal["mapped", "refused", "orphan"]
    company_id: OpaqueId | None = None
    account_id: OpaqueId | None = None
    reason: Name = REASON
