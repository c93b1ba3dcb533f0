"""What operators read and send."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from app.fields import In, Name, OpaqueId
from app.satker.schemas import CompanyOut

State = Literal["calling", "uncertain", "mapped", "refused", "conflict", "orphan", "removed"]
Via = Literal["legacy", "confirm", "login", "register"]


class AdminAccessOut(BaseModel):
    """A PP's access to a mapping. `account_id` is null where it is not known which account they prove it with."""

    pp_id: str
    satker_id: str
    account_id: str | None
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
    """A mapping that lives; `via` is how it was first made."""

    id: str
    satker: AdminSatkerOut
    company: CompanyOut
    via: Via
    mapped_at: datetime
    accesses: list[AdminAccessOut]


class AdminMappingPageOut(BaseModel):
    items: list[AdminMappingOut]
    next_cursor: str | None


class AdminAttemptOut(BaseModel):
    """A registration or a mapping in whichever state; its `id` is the reference that mbizmarket knows.

    `overdue`: its outcome has been open for longer than UNCERTAIN_ALERT_SECONDS. `failure` is a problem's code, or
    `never_arrived`. `ask_at` is when mbizmarket is asked about it next.
    """

    id: str
    state: State
    overdue: bool
    satker: AdminSatkerOut
    pp_id: str
    satker_id: str
    via: Via
    company: CompanyOut | None
    account_id: str | None
    failure: str | None
    sends: int
    created_at: datetime
    ask_at: datetime | None
    mapped_at: datetime | None
    ended_at: datetime | None


class AdminAttemptPageOut(BaseModel):
    items: list[AdminAttemptOut]
    next_cursor: str | None


class MoveIn(In):
    catalog_id: OpaqueId
    reason: Name


class ResolveIn(In):
    """`mapped` needs the `company_id`; `refused` takes neither id; `orphan` takes what is known of the account."""

    outcome: Literal["mapped", "refused", "orphan"]
    company_id: OpaqueId | None = None
    account_id: OpaqueId | None = None
    reason: Name
