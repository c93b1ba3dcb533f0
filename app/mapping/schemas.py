"""Mappings and the ways to one, as they are sent and answered."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.fields import Email, In, Name, OpaqueId, Password, Phone, PostalCode
from app.satker.schemas import STATUS, CompanyOut, Status

EmailStatus = Literal["free", "already_used", "unverified", "absent"]
LogInReason = Literal["mapped_by_other", "access_lost", "account_unknown"]


class LastFailureOut(BaseModel):
    """A registration that came to nothing."""

    code: str = Field(description="The problem's code, or `never_arrived`. Further values may be added.")
    at: datetime


class MappingOut(BaseModel):
    """What a satker has at mbizmarket. `company`, `via` and `mapped_at` are there when `status` is `mapped`."""

    satker_id: str
    status: Status = STATUS
    company: CompanyOut | None
    via: Literal["legacy", "confirm", "login", "register"] | None = Field(
        description="How this PP got access; `legacy` is the import of existing pairs."
    )
    mapped_at: datetime | None = Field(description="When this PP got access.")
    last_failure: LastFailureOut | None = Field(
        description="The PP's own last registration for this satker, if it came to nothing; the next try clears it."
    )


class ConfirmIn(In):
    """The company that the person confirmed."""

    company_id: OpaqueId = Field(description="One of `companies` in `confirm_account`.")


class LogInIn(In):
    """A log-in at mbizmarket. The password is passed on unchanged, and kept nowhere."""

    email: Email
    password: Password
    company_id: OpaqueId | None = Field(
        default=None, description="The choice, after 409 `company_choice_required`."
    )


class AddressIn(In):
    """Where the company is."""

    street: Name
    city: Name
    postal_code: PostalCode


class NewCompanyIn(In):
    """The company to make; usually it bears the satker's name."""

    name: Name
    address: AddressIn


class RegisterIn(In):
    """A new account at mbizmarket with its first company. The password is passed on unchanged, and kept nowhere."""

    email: Email
    password: Password
    contact_name: Name
    phone: Phone
    company: NewCompanyIn


class EntryIn(In):
    """May be left out."""

    category: Name | None = Field(
        default=None, description="What the person was looking at in the portal; mbizmarket gets it as it is."
    )


class OfferedCompanyOut(BaseModel):
    """A company to choose."""

    company_id: str
    name: str
    city: str


class AccountOut(BaseModel):
    """The mbizmarket account with the PP's own verified e-mail."""

    email: str
    name: str


class OpenMbizmarketOut(BaseModel):
    """Mapped: send the person to mbizmarket."""

    next_step: Literal["open_mbizmarket"]
    redirect_url: str = Field(
        description="Signs the person in. Works once, until `expires_at`: ask anew each time."
    )
    expires_at: datetime
    company: CompanyOut


class ConfirmAccountOut(BaseModel):
    """mbizmarket knows the PP's own verified e-mail: ask whether one of these companies is the satker's.

    Yes: `POST …/mapping/confirm`. "Not this one" is no call: go on as for `ask_registered`, or, where the satker is
    `mapped_by_other`, as for `log_in`.
    """

    next_step: Literal["confirm_account"]
    account: AccountOut
    companies: list[OfferedCompanyOut]


class AskRegisteredOut(BaseModel):
    """Ask "registered before?": Sudah leads to `POST …/mapping/login`, Belum to `POST …/mapping/register`."""

    next_step: Literal["ask_registered"]
    suggested_email: str | None = Field(description="For the form to register; the person may type another.")
    email_status: EmailStatus = Field(
        description="Of the token's e-mail at mbizmarket: `free`; `already_used` (not suggested: it would end in "
        "`email_taken`); `unverified` (the portal does not vouch for it, so it was not looked up); `absent`."
    )
    forgot_password_url: str


class AskLogInOut(BaseModel):
    """The satker has a company, and this PP has to prove an account of it: `POST …/mapping/login`."""

    next_step: Literal["log_in"]
    reason: LogInReason = Field(
        description="`mapped_by_other`: another PP mapped it. `access_lost`: the account that this PP proved is no "
        "longer the company's. `account_unknown`: it is not known with which account this PP shops."
    )
    forgot_password_url: str


class WaitOut(BaseModel):
    """A registration for this satker is being checked, the PP's own or a colleague's: call `entry` again."""

    next_step: Literal["wait"]
    retry_after: int = Field(description="Seconds until then.")


EntryOut = Annotated[
    OpenMbizmarketOut | ConfirmAccountOut | AskRegisteredOut | AskLogInOut | WaitOut,
    Field(discriminator="next_step"),
]


class MbizCompanyOut(BaseModel):
    """An active company of the account."""

    company_id: str
    name: str
    city: str
    mapped: bool = Field(description="Whether it serves a satker.")
    mapped_to_satker_id: str | None = Field(description="That satker, where it is on the caller's own list.")


class MbizAccountOut(BaseModel):
    """The mbizmarket account with this e-mail, if there is one."""

    email: str
    has_account: bool
    status: Literal["none", "available", "already_mapped", "no_active_company"] = Field(
        description="`none`: no account. `available`: a company is free. `already_mapped`: each serves a satker. "
        "`no_active_company`: there is none to use. Further values may be added."
    )
    companies: list[MbizCompanyOut]
