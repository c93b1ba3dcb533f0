"""Mappings and the ways to one, as they are sent and answered."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.fields import Email, In, Name, OpaqueId, Password, Phone, PostalCode
from app.satker.schemas import CompanyOut, Status

EmailStatus = Literal["free", "already_used", "unverified", "absent"]
LogInReason = Literal["mapped_by_other", "access_lost", "account_unknown"]


class LastFailureOut(BaseModel):
    """The PP's own last registration that came to nothing: the problem's code, or `never_arrived`."""

    code: str
    at: datetime


class MappingOut(BaseModel):
    """What a satker has at mbizmarket. `company`, `via` and `mapped_at` (of the PP's own access) when `mapped`."""

    satker_id: str
    status: Status
    company: CompanyOut | None
    via: Literal["legacy", "confirm", "login", "register"] | None
    mapped_at: datetime | None
    last_failure: LastFailureOut | None


class ConfirmIn(In):
    company_id: OpaqueId


class LogInIn(In):
    email: Email
    password: Password
    company_id: OpaqueId | None = None


class AddressIn(In):
    street: Name
    city: Name
    postal_code: PostalCode


class NewCompanyIn(In):
    name: Name
    address: AddressIn


class RegisterIn(In):
    email: Email
    password: Password
    contact_name: Name
    phone: Phone
    company: NewCompanyIn


class EntryIn(In):
    """`category` is what the person was looking at in the portal; mbizmarket gets it as it is."""

    category: Name | None = None


class OfferedCompanyOut(BaseModel):
    company_id: str
    name: str
    city: str


class AccountOut(BaseModel):
    email: str
    name: str


class OpenMbizmarketOut(BaseModel):
    """Mapped: send the person to `redirect_url`, which works once and until `expires_at`."""

    next_step: Literal["open_mbizmarket"]
    redirect_url: str
    expires_at: datetime
    company: CompanyOut


class ConfirmAccountOut(BaseModel):
    """mbizmarket knows the PP's own verified e-mail: ask whether one of these companies is the satker's."""

    next_step: Literal["confirm_account"]
    account: AccountOut
    companies: list[OfferedCompanyOut]


class AskRegisteredOut(BaseModel):
    """Ask "registered before?": Sudah leads to log in, Belum to register with `suggested_email`."""

    next_step: Literal["ask_registered"]
    suggested_email: str | None
    email_status: EmailStatus
    forgot_password_url: str


class AskLogInOut(BaseModel):
    """The satker has a company, and this PP has to prove an account of it (again)."""

    next_step: Literal["log_in"]
    reason: LogInReason
    forgot_password_url: str


class WaitOut(BaseModel):
    """A registration is being checked: ask again in `retry_after` seconds."""

    next_step: Literal["wait"]
    retry_after: int


EntryOut = Annotated[
    OpenMbizmarketOut | ConfirmAccountOut | AskRegisteredOut | AskLogInOut | WaitOut,
    Field(discriminator="next_step"),
]


class MbizCompanyOut(BaseModel):
    """An active company of the account; `mapped_to_satker_id` only where that satker is on the caller's list."""

    company_id: str
    name: str
    city: str
    mapped: bool
    mapped_to_satker_id: str | None


class MbizAccountOut(BaseModel):
    email: str
    has_account: bool
    status: Literal["none", "available", "already_mapped", "no_active_company"]
    companies: list[MbizCompanyOut]
