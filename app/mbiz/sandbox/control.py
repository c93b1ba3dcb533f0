"""The strings behind the scenes: /sandbox/…, for tests and for whoever tries things out."""

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.mbiz.sandbox import accounts, registrations
from app.mbiz.sandbox.answers import PartnerError, invalid, read_json
from app.mbiz.sandbox.faults import Fault
from app.mbiz.sandbox.partner import Partner

Text = Annotated[str, Field(min_length=1, max_length=300)]
Status = Literal["active", "inactive"]
Body = TypeVar("Body", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CompanyIn(_Strict):
    name: Text
    city: Text
    status: Status = "active"


class AccountIn(_Strict):
    email: Text
    password: Text
    name: Text
    email_verified: bool = True
    companies: tuple[CompanyIn, ...] = ()


class AccountPatch(_Strict):
    email: Text | None = None
    name: Text | None = None
    email_verified: bool | None = None


class CompanyPatch(_Strict):
    status: Status | None = None
    name: Text | None = None


async def _read(request: Request, model: type[Body]) -> Body:
    try:
        return model.model_validate(await read_json(request))
    except ValidationError as error:
        raise invalid(
            {".".join(map(str, fault["loc"])) or "body": "invalid" for fault in error.errors()}
        ) from None


def _is_near(request: Request) -> bool:
    return request.client is None or ipaddress.ip_address(request.client.host).is_loopback


class Control:
    def __init__(self, partner: Partner) -> None:
        self._partner = partner
        self._database = partner.database

    def routes(self) -> list[Route]:
        table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("POST", "/faults", self.add_fault),
            ("DELETE", "/faults", self.clear_faults),
            ("GET", "/truth", self.truth),
            ("POST", "/accounts", self.add_account),
            ("POST", "/accounts/{account_id}", self.change_account),
            ("PUT", "/accounts/{account_id}/companies/{company_id}", self.join),
            ("DELETE", "/accounts/{account_id}/companies/{company_id}", self.leave),
            ("POST", "/companies/{company_id}", self.change_company),
            ("DELETE", "/companies/{company_id}", self.remove_company),
            ("POST", "/tokens/expire", self.expire_tokens),
        ]
        return [Route(f"/sandbox{path}", _nearby(call), methods=[method]) for method, path, call in table]

    async def add_fault(self, request: Request) -> Response:
        fault = await _read(request, Fault)
        self._partner.faults.add(fault)
        return JSONResponse(fault.model_dump(), 201)

    async def clear_faults(self, _request: Request) -> Response:
        self._partner.faults.clear()
        return Response(status_code=204)

    async def truth(self, _request: Request) -> Response:
        with self._database.transaction() as db:
            answer = {
                "accounts": accounts.every_account(db),
                "registrations": registrations.every_registration(db),
            }
        behind = {"requests": self._partner.requests, "faults_waiting": self._partner.faults.waiting()}
        return JSONResponse(answer | behind)

    async def add_account(self, request: Request) -> Response:
        new = await _read(request, AccountIn)
        with self._database.transaction() as db:
            account_id = accounts.add_account(db, new.email, new.password, new.name, new.email_verified)
            for company in new.companies:
                company_id = accounts.add_company(db, accounts.NewCompany(**company.model_dump()))
                accounts.join(db, account_id, company_id)
            return JSONResponse(accounts.get_account(db, account_id), 201)

    async def change_account(self, request: Request) -> Response:
        changes = (await _read(request, AccountPatch)).model_dump(exclude_none=True)
        with self._database.transaction() as db:
            return JSONResponse(accounts.change_account(db, request.path_params["account_id"], changes))

    async def join(self, request: Request) -> Response:
        account_id, company_id = request.path_params["account_id"], request.path_params["company_id"]
        with self._database.transaction() as db:
            accounts.get_account(db, account_id)
            accounts.get_company(db, company_id)
            accounts.join(db, account_id, company_id)
        return Response(status_code=204)

    async def leave(self, request: Request) -> Response:
        account_id, company_id = request.path_params["account_id"], request.path_params["company_id"]
        with self._database.transaction() as db:
            accounts.get_account(db, account_id)
            accounts.leave(db, account_id, company_id)
        return Response(status_code=204)

    async def change_company(self, request: Request) -> Response:
        changes = (await _read(request, CompanyPatch)).model_dump(exclude_none=True)
        with self._database.transaction() as db:
            return JSONResponse(accounts.change_company(db, request.path_params["company_id"], changes))

    async def remove_company(self, request: Request) -> Response:
        with self._database.transaction() as db:
            accounts.remove_company(db, request.path_params["company_id"])
        return Response(status_code=204)

    async def expire_tokens(self, _request: Request) -> Response:
        self._partner.tokens.expire()
        return Response(status_code=204)


def _nearby(call: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Has no password, so it answers this machine alone."""

    async def endpoint(request: Request) -> Response:
        if not _is_near(request):
            raise PartnerError(404, "not_found", "There is nothing here.")
        return await call(request)

    return endpoint
