"""What the use cases of linking share, and how mbizmarket's situations become problems of ours."""

from dataclasses import dataclass

from app.crash import CrashPoint
from app.db import Database
from app.emails import Digests
from app.held import Reader
from app.mapping.lookup import Lookup
from app.mbiz import errors as mbiz
from app.mbiz.client import Mbizmarket
from app.metrics import Metrics
from app.problems import (
    CompanyGone,
    CompanyInactive,
    EmailTaken,
    InvalidCredentials,
    MbizBadResponse,
    MbizRejected,
    MbizTimeout,
    MbizUnavailable,
    Problem,
    TooManyAttempts,
)
from app.settings import Settings
from app.throttle import Throttle

RETRY_LATER = 5  # seconds, where mbizmarket names none


@dataclass(frozen=True, slots=True)
class Context:
    database: Database
    reader: Reader
    lookup: Lookup
    mbiz: Mbizmarket
    digests: Digests
    throttle: Throttle
    metrics: Metrics
    settings: Settings
    crash: CrashPoint


def problem_of(error: mbiz.MbizError) -> Problem:
    """The one place where an adapter's error becomes an answer to a client."""
    match error:
        case mbiz.NotSent() | mbiz.Unavailable():
            return MbizUnavailable(retry_after=error.retry_after or RETRY_LATER)
        case mbiz.TimedOut():
            return MbizTimeout()
        case mbiz.InvalidCredentials():
            return InvalidCredentials()
        case mbiz.AccountLocked():
            return TooManyAttempts(retry_after=error.retry_after)
        case mbiz.Refused(reason="email_taken"):
            return EmailTaken()
        case mbiz.Refused(reason="invalid"):
            return MbizRejected(faults=[(fault.field, fault.code) for fault in error.faults])
        case mbiz.CompanyInactive():
            return CompanyInactive()
        case mbiz.NoSuchCompany():
            return CompanyGone()
        case _:
            return MbizBadResponse()
