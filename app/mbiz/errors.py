"""What went wrong at mbizmarket, named by what the caller may do next.

The adapter raises these and nothing else; app/mapping translates each of them once.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldFault:
    """A field that mbizmarket refused: a dotted path and one of its codes, never its text."""

    field: str
    code: str


class MbizError(Exception):
    """Anything that kept mbizmarket from giving a usable answer."""


class NotSent(MbizError):
    """Nothing reached mbizmarket: no connection, TLS or token in time, our own limits. Safe to try again."""

    def __init__(self, retry_after: int | None = None) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Unavailable(MbizError):
    """mbizmarket cannot now (429, 5xx, a cut answer). Reads and log-ins may be tried later."""

    def __init__(self, retry_after: int | None = None) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class TimedOut(MbizError):
    """The deadline passed, or mbizmarket said 408. Reads and log-ins may be tried again."""


class BadAnswer(MbizError):
    """Outside the contract: a page instead of JSON, a redirect, a missing or foreign id, an unknown 4xx."""


class InvalidCredentials(MbizError):
    """The person's e-mail or password is wrong. Never tried again by us."""


class AccountLocked(MbizError):
    """Too many failures at mbizmarket; nobody gets in for `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Refused(MbizError):
    """mbizmarket understood the registration and made nothing. The reason says which 4xx."""

    def __init__(self, reason: str, faults: tuple[FieldFault, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason  # "email_taken", "invalid" or "unexpected" (another 4xx)
        self.faults = faults


class OutcomeUnknown(MbizError):
    """The registration may or may not exist at mbizmarket: only its reference can tell."""


class NoSuchCompany(MbizError):
    """mbizmarket has no such company (any more)."""


class NoSuchAccount(MbizError):
    """mbizmarket has no such account (any more)."""


class AccountNotInCompany(MbizError):
    """The account exists but no longer belongs to the company."""


class CompanyInactive(MbizError):
    """The company is closed at mbizmarket."""
