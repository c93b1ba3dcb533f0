"""The shapes on mbizmarket's wire, checked as they arrive.

Unknown fields are ignored: mbizmarket adds some without notice.
"""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

# Ids end up in paths, logs and unique indexes: control characters have no business there.
# Texts are stored, and PostgreSQL stores every character but NUL.
Id = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]


class Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Address(Wire):
    street: Text
    city: Text
    postal_code: Text


class Company(Wire):
    """A buyer's company. `status` is `active` or `inactive`; a word we do not know counts as inactive."""

    company_id: Id
    name: Text
    status: Text
    address: Address

    @property
    def active(self) -> bool:
        return self.status == "active"


class Account(Wire):
    """A person's account with its companies (none to many, each id once)."""

    account_id: Id
    email: Text
    email_verified: bool = True
    name: Text
    companies: tuple[Company, ...] = Field(strict=False)

    @model_validator(mode="after")
    def _each_company_once(self) -> "Account":
        if len({company.company_id for company in self.companies}) != len(self.companies):
            raise ValueError("a company is listed twice")
        return self

    def company(self, company_id: str) -> Company | None:
        return next((company for company in self.companies if company.company_id == company_id), None)


class Registration(Wire):
    registration_id: Id
    reference: Id
    account: Account
    company: Company
    created_at: AwareDatetime


class Session(Wire):
    redirect_url: Text
    expires_at: AwareDatetime


class NewCompany(Wire):
    name: str
    address: Address


class NewRegistration(Wire):
    """What a person typed to register: sent as it is, under our reference."""

    email: str
    password: str = Field(repr=False)
    contact_name: str
    phone: str
    company: NewCompany
