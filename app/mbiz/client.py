"""mbizmarket's partner API as the service sees it: typed answers, and errors that say what to do next.

What is particular to mbizmarket stays in this folder, which imports nothing of ours and could be published.
"""

import asyncio
from collections.abc import Mapping, Sequence

import httpx

from app.mbiz.breaker import Breaker, Kind, make_breakers
from app.mbiz.contract import Account, Company, NewRegistration, Registration, Session, Wire
from app.mbiz.errors import (
    AccountLocked,
    AccountNotInCompany,
    BadAnswer,
    CompanyInactive,
    InvalidCredentials,
    MbizError,
    NoSuchAccount,
    NoSuchCompany,
    NotSent,
    OutcomeUnknown,
    Refused,
    TimedOut,
    Unavailable,
)
from app.mbiz.exchange import Exchange
from app.mbiz.oauth import Token, Tokens, refuses_token
from app.mbiz.transport import Connections
from app.mbiz.watch import Watch, unwatched, watched
from app.mbiz.wire import (
    Answer,
    Call,
    Model,
    encode,
    error_code,
    faults,
    is_away,
    may_open,
    parse,
    retry_after,
    same_email,
    same_mailbox,
    segment,
)

__all__ = ["Call", "Mbizmarket", "same_email"]

LOCKED_FOR = 900  # seconds, when mbizmarket locks an account without saying for how long


class _Found(Wire):
    accounts: tuple[Account, ...]


class _LoggedIn(Wire):
    account: Account


class _NeverLeft(TimedOut):
    """The deadline passed before the request itself was handed to the transport."""


class Mbizmarket:
    """One per process. Of several `client_secrets` the one that works is used; `transport` replaces ours.

    Every method but `register` raises NotSent, Unavailable, TimedOut or BadAnswer beside what it names.
    Each kind of call has a limit and a circuit breaker of its own, `breakers`, whose state is there to be read;
    `watch` is told of each call.
    """

    def __init__(
        self,
        base_url: str,
        client_id: str,
        client_secrets: Sequence[str],
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        breakers: Mapping[Kind, Breaker] | None = None,
        watch: Watch = unwatched,
    ) -> None:
        self.breakers = breakers or make_breakers()
        self.watch = watch
        self._exchange = Exchange(base_url, transport or self._connections(base_url))
        self._tokens = Tokens(self._exchange, client_id, client_secrets, watch)

    def _connections(self, base_url: str) -> Connections:
        """As many as all limits allow, and one for our token: no kind of call waits for another's."""
        return Connections(base_url, sum(breaker.limit for breaker in self.breakers.values()) + 1)

    async def aclose(self) -> None:
        await self._exchange.aclose()

    @watched("lookup")
    async def find_account(self, call: Call, email: str) -> Account | None:
        """The account with this e-mail address, verified or not."""
        answer = await self._send("lookup", call, "POST", "/v1/accounts/search", {"email": email})
        accounts = _expect(answer, 200, _Found).accounts
        if len(accounts) > 1:
            raise BadAnswer
        account = _owned_by(email, accounts[0]) if accounts else None
        return account if account and same_mailbox(account.email, email) else None

    @watched("login")
    async def log_in(self, call: Call, email: str, password: str) -> Account:
        """Proves an account. Raises InvalidCredentials and AccountLocked."""
        answer = await self._send("login", call, "POST", "/v1/login", {"email": email, "password": password})
        match answer.status_code, error_code(answer):
            case 401, "invalid_credentials":
                raise InvalidCredentials
            case 423, _:
                raise AccountLocked(retry_after(answer) or LOCKED_FOR)
        return _owned_by(email, _expect(answer, 200, _LoggedIn).account)

    @watched("register")
    async def register(self, call: Call, reference: str, form: NewRegistration) -> Registration:
        """Makes an account with one company; the same reference again makes no second one.

        Raises NotSent, Refused and OutcomeUnknown, and nothing else.
        """
        fields = {"reference": reference, **form.model_dump()}
        key = {"Idempotency-Key": reference}
        try:
            answer = await self._send("register", call, "POST", "/v1/registrations", fields, key)
        except _NeverLeft:
            raise NotSent from None
        except (Unavailable, TimedOut):
            raise OutcomeUnknown from None
        return _registered(answer, reference, form.email)

    @watched("lookup")
    async def find_registration(self, call: Call, reference: str) -> Registration | None:
        """What became of a registration; None when mbizmarket does not know it, or not yet.

        Only the caller knows whose e-mail it was for, and has to compare it.
        """
        answer = await self._send("lookup", call, "GET", f"/v1/registrations/{segment(reference)}")
        if (answer.status_code, error_code(answer)) == (404, "registration_not_found"):
            return None
        found = _expect(answer, 200, Registration)
        if found.reference != reference or not _holds_its_company(found):
            raise BadAnswer
        return found

    @watched("session")
    async def open_session(
        self, call: Call, account_id: str, company_id: str, payload: Mapping[str, str]
    ) -> Session:
        """A URL that brings the person into mbizmarket, once and within a minute.

        Raises NoSuchAccount, NoSuchCompany, AccountNotInCompany and CompanyInactive.
        """
        fields = {"account_id": account_id, "company_id": company_id, "payload": dict(payload)}
        answer = await self._send("session", call, "POST", "/v1/sessions", fields)
        match answer.status_code, error_code(answer):
            case 403, "account_not_in_company":
                raise AccountNotInCompany
            case 404, "account_not_found":
                raise NoSuchAccount
            case 404, "company_not_found":
                raise NoSuchCompany
            case 409, "company_inactive":
                raise CompanyInactive
        session = _expect(answer, 201, Session)
        # Plain http only where mbizmarket itself is reached so.
        if not may_open(session.redirect_url, {"https", self._exchange.scheme}):
            raise BadAnswer
        return session

    @watched("lookup")
    async def get_company(self, call: Call, company_id: str) -> Company | None:
        """The company as mbizmarket has it now; None when it is gone."""
        answer = await self._send("lookup", call, "GET", f"/v1/companies/{segment(company_id)}")
        if (answer.status_code, error_code(answer)) == (404, "company_not_found"):
            return None
        company = _expect(answer, 200, Company)
        if company.company_id != company_id:
            raise BadAnswer
        return company

    async def _send(
        self,
        kind: Kind,
        call: Call,
        method: str,
        path: str,
        fields: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The one way to mbizmarket: its answer whatever it is, or an error. Only a refused token is sent twice for."""
        if call.remaining() <= 0:
            raise _NeverLeft
        headers = {"X-Request-Id": call.request_id, **(headers or {})}
        if call.traceparent:
            headers["traceparent"] = call.traceparent
        if fields is None:
            request = self._exchange.request(method, path, headers)
        else:
            headers["Content-Type"] = "application/json"
            request = self._exchange.request(method, path, headers, encode(fields))
        return await self.breakers[kind].run(call, lambda: self._ask(call, request))

    async def _ask(self, call: Call, request: httpx.Request) -> Answer:
        """When mbizmarket refuses our token itself, the request is repeated once with another."""
        refused: Token | None = None
        out = False  # whether a request that may take effect is with mbizmarket; a refused token proves: none
        try:
            async with asyncio.timeout(call.remaining()):
                while True:
                    token = await self._tokens.get(call, refused)
                    request.headers["Authorization"] = f"Bearer {token.text}"
                    out = True
                    answer = await self._exchange.send(call, request)
                    if refused or not refuses_token(answer):
                        return answer
                    refused, out = token, False
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise NotSent from None
        except (TimeoutError, httpx.TimeoutException):
            raise (TimedOut if out else _NeverLeft) from None
        except (httpx.RequestError, OSError):
            raise Unavailable from None


def _expect(answer: Answer, status: int, model: type[Model]) -> Model:
    if answer.status_code != status:
        raise _otherwise(answer)
    return parse(answer, model)


def _otherwise(answer: Answer) -> MbizError:
    """What an answer outside a call's own list means to reads and log-ins."""
    if answer.status_code == 408:
        return TimedOut()
    return Unavailable(retry_after(answer)) if is_away(answer) else BadAnswer()


def _owned_by(email: str, account: Account) -> Account:
    if not same_email(account.email, email):
        raise BadAnswer
    return account


def _holds_its_company(registration: Registration) -> bool:
    return registration.account.company(registration.company.company_id) is not None


def _registered(answer: Answer, reference: str, email: str) -> Registration:
    status = answer.status_code
    if status in (200, 201):
        return _ours(answer, reference, email)
    if 400 <= status < 500 and status not in (401, 408, 429):
        raise _refusal(answer)
    raise OutcomeUnknown


def _ours(answer: Answer, reference: str, email: str) -> Registration:
    """A registration just made has our reference, our e-mail and one company; less proves nothing."""
    try:
        made = parse(answer, Registration)
    except BadAnswer:
        raise OutcomeUnknown from None
    if (
        made.reference != reference
        or not same_email(made.account.email, email)
        or not _holds_its_company(made)
        or len(made.account.companies) != 1
    ):
        raise OutcomeUnknown
    return made


def _refusal(answer: Answer) -> Refused:
    match answer.status_code, error_code(answer):
        case 409, "email_taken":
            return Refused("email_taken")
        case 422, "invalid":
            return Refused("invalid", faults(answer))
    return Refused("unexpected")
