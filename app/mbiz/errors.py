"""What went wrong at mbizmarket, named by what the caller may do next.

The adapter raises these and nothing else; app/mapping translates each of them once.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldFault:
    """A field that mbizmarket refused: a dotted path and one of its codes, never its text."""

    field: str
    code: str


class MbizError(Exception):
    """Anything that kept mbizmarket from giving a usable answer; `outcome` is its name in metrics and traces."""

    outcome: ClassVar[str]


class NotSent(MbizError):
    """Nothing reached mbizmarket: no connection, TLS or token in time, our own limits. Safe to try again."""

    outcome = "not_sent"

    def __init__(self, retry_after: int | None = None) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class ClientRefused(NotSent):
    """mbizmarket knows us by none of our client secrets."""

    outcome = "client_refused"


class Unavailable(MbizError):
    """mbizmarket cannot now (429, 5xx, a cut answer). Reads and log-ins may be tried later."""

    outcome = "unavailable"

    def __init__(self, retry_after: int | None = None) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class TimedOut(MbizError):
    """The deadline passed, or mbizmarket said 408. Reads and log-ins may be tried again."""

    outcome = "timed_out"


class BadAnswer(MbizError):
    """Outside the contract: a page instead of JSON, a redirect, a missing or foreign id, an unknown 4xx."""

    outcome = "bad_answer"


class InvalidCredentials(MbizError):
    """The person's e-mail or password is wrong. Never tried again by us."""

    outcome = "invalid_credentials"


class AccountLocked(MbizError):
    """Too many failures at mbizmarket; nobody gets in for `retry_after` seconds."""

    outcome = "account_locked"

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Refused(MbizError):
    """mbizmarket understood the registration and made nothing. The reason says which 4xx."""

    outcome = "refused"

    def __init__(self, reason: str, faults: tuple[FieldFault, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason  # "email_taken", "invalid" or "unexpected" (another 4xx)
        self.faults = faults


class OutcomeUnknown(MbizError):
    """The registration may or may not exist at mbizmarket: only its reference can tell."""

    outcome = "outcome_unknown"


class NoSuchCompany(MbizError):
    """mbizmarket has no such company (any more)."""

    outcome = "no_such_company"


class NoSuchAccount(MbizError):
    """mbizmarket has no such account (any more)."""

    outcome = "no_such_account"


class AccountNotInCompany(MbizError):
    """The account exists but no longer belongs to the company."""

    outcome = "account_not_in_company"


class CompanyInactive(MbizError):
    """The company is closed at mbizmarket."""

    outcome = "company_inactive"
