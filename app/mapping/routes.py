"""A satker's mapping, and the ways to one: confirm, log in, register."""

from typing import Annotated

from fastapi import Query, Response

from app.db import AnyRow
from app.deps import Address, Linking, Pp, SatkerId, Upstream, as_json, v1_router
from app.fields import Email
from app.mapping import accounts, ending, entry, linking, standing
from app.mapping.registering import Registering
from app.mapping.schemas import (
    ConfirmIn,
    EntryIn,
    EntryOut,
    LastFailureOut,
    LogInIn,
    MappingOut,
    MbizAccountOut,
    RegisterIn,
)
from app.mapping.standing import LINK_RETRY
from app.mapping.transitions import Given
from app.mbiz.contract import NewRegistration
from app.openapi import RETRY_AFTER, problems
from app.problems import (
    CompanyAlreadyMapped,
    CompanyChoiceRequired,
    CompanyGone,
    CompanyInactive,
    CompanyNotFound,
    EmailNotYours,
    EmailTaken,
    EmailUnverified,
    InvalidCredentials,
    LinkInProgress,
    MbizBadResponse,
    MbizRejected,
    MbizTimeout,
    MbizUnavailable,
    NoActiveCompany,
    SatkerAlreadyMapped,
    SatkerNotFound,
    TooManyAttempts,
)
from app.satker import store as satkers
from app.satker.schemas import CompanyOut
from app.satker.view import company

router = v1_router("Mapping")

ASKING = (MbizBadResponse, MbizUnavailable, MbizTimeout)
LINKING = (SatkerNotFound, LinkInProgress, SatkerAlreadyMapped, CompanyAlreadyMapped, *ASKING)


@router.post(
    "/satkers/{satker_id}/entry",
    operation_id="enterMbizmarket",
    summary="What to show next when this satker was picked",
    responses=problems(SatkerNotFound, CompanyInactive, CompanyGone, *ASKING),
)
async def enter_mbizmarket(
    context: Linking, pp: Pp, call: Upstream, satker_id: SatkerId, body: EntryIn | None = None
) -> EntryOut:
    """Call it each time the PP picks a satker for shopping, and do what `next_step` says.

    - `open_mbizmarket`: send the browser to `redirect_url`, once.
    - `confirm_account`: show account and companies. Yes: `confirm` with the `company_id`. "Not this one": go on as for
      `ask_registered`, or as for `log_in` when the satker's status is `mapped_by_other`.
    - `ask_registered`: ask whether the satker is registered at mbizmarket. Sudah: `login`. Belum: `register`.
    - `log_in`: ask for an account of the satker's company, then `login`.
    - `wait`: a registration is being checked. Show that, and call `entry` again after `retry_after` seconds.

    After 200, 201 or 202 of confirm, login or register call `entry` again. It changes nothing but what is found out
    about an open registration, so it may be repeated at any time.
    """
    return await entry.enter(context, pp, satker_id, call, body.category if body else None)


@router.get(
    "/satkers/{satker_id}/mapping",
    operation_id="getMapping",
    summary="Whether the satker has a company",
    response_model=MappingOut,
    responses=problems(SatkerNotFound),
)
async def get_mapping(context: Linking, pp: Pp, satker_id: SatkerId) -> Response:
    """From the service's own database alone, so that it answers whatever state mbizmarket is in."""
    return as_json(_mapping(await context.lookup.get(pp.pp_id, satker_id)))


@router.post(
    "/satkers/{satker_id}/mapping/confirm",
    operation_id="confirmAndMap",
    summary="Map to a company of the account with the PP's own verified e-mail",
    status_code=201,
    response_model=MappingOut,
    responses={
        200: {"description": "It was mapped so already.", "model": MappingOut},
        201: {"description": "Mapped by this call."},
        **problems(EmailUnverified, CompanyNotFound, CompanyInactive, *LINKING),
    },
)
async def confirm_and_map(
    context: Linking, pp: Pp, call: Upstream, satker_id: SatkerId, body: ConfirmIn
) -> Response:
    """For `confirm_account`: the person says which company is the satker's. No password is needed, since the portal
    vouches for the e-mail address in the token.
    """
    given = await linking.confirm(context, pp, satker_id, call, company_id=body.company_id)
    return await _linked(context, pp, satker_id, given)


@router.post(
    "/satkers/{satker_id}/mapping/login",
    operation_id="logInAndMap",
    summary="Log in at mbizmarket and map (Sudah)",
    status_code=201,
    response_model=MappingOut,
    responses={
        200: {"description": "It was mapped so already.", "model": MappingOut},
        201: {"description": "Mapped by this call."},
        **problems(
            InvalidCredentials,
            CompanyNotFound,
            NoActiveCompany,
            CompanyChoiceRequired,
            CompanyInactive,
            TooManyAttempts,
            *LINKING,
        ),
    },
)
async def log_in_and_map(
    context: Linking, pp: Pp, call: Upstream, address: Address, satker_id: SatkerId, body: LogInIn
) -> Response:
    """Sudah: the person proves an account. If exactly one of its companies is active and free, that one is taken; of
    several the person chooses (409 `company_choice_required`, then again with `company_id`). On a satker that is
    `mapped_by_other`, an account of its company gives access.
    """
    given = await linking.log_in(
        context,
        pp,
        satker_id,
        call,
        email=body.email,
        password=body.password.get_secret_value(),
        company_id=body.company_id,
        address=address,
    )
    return await _linked(context, pp, satker_id, given)


@router.post(
    "/satkers/{satker_id}/mapping/register",
    operation_id="registerAndMap",
    summary="Register at mbizmarket and map (Belum)",
    status_code=201,
    response_model=MappingOut,
    responses={
        200: {"description": "It was mapped so already.", "model": MappingOut},
        201: {"description": "Mapped by this call."},
        202: {
            "description": "Being checked: neither failed nor done. Call `entry` after `Retry-After`.",
            "model": MappingOut,
            "headers": {
                "Location": {"description": "The mapping", "schema": {"type": "string"}},
                "Retry-After": RETRY_AFTER,
            },
        },
        **problems(EmailTaken, MbizRejected, TooManyAttempts, *LINKING),
    },
)
async def register_and_map(
    context: Linking, pp: Pp, call: Upstream, address: Address, satker_id: SatkerId, body: RegisterIn
) -> Response:
    """Belum: makes an account and a company at mbizmarket, and maps the satker to it.

    202 is no failure: mbizmarket's answer got lost, and it is being found out. Call `entry` after `Retry-After`
    seconds; it says `wait` until the outcome is known. Repeating the very call is safe, too: the registration goes
    under a reference of the service's own and cannot make a second account.
    """
    form = NewRegistration.model_validate(body.model_dump() | {"password": body.password.get_secret_value()})
    outcome = await Registering(context, call, form, pp.pp_id, satker_id, address).run()
    status = {"made": 201, "there": 200, "checking": 202}[outcome]
    return await _answer(context, pp, satker_id, status)


@router.delete(
    "/satkers/{satker_id}/mapping",
    operation_id="endMapping",
    summary="End the own access; with the last one the mapping",
    status_code=204,
    responses=problems(SatkerNotFound, LinkInProgress),
)
async def end_mapping(context: Linking, pp: Pp, satker_id: SatkerId) -> None:
    """Other PPs keep theirs; with the last access satker and company are free again. The account at mbizmarket stays.
    204 also when there is nothing to end.
    """
    async with context.database.begin() as tx:
        row = await satkers.lock_one(tx, pp.pp_id, satker_id)
        if row.status == "checking":
            raise LinkInProgress(retry_after=LINK_RETRY)
        await ending.end_access(tx, pp.pp_id, row)
        context.crash("before_commit")
    context.crash("after_commit")


@router.get(
    "/mbiz-account",
    operation_id="getMbizAccount",
    summary="Whether the PP's own e-mail has an mbizmarket account",
    responses=problems(EmailUnverified, EmailNotYours, *ASKING),
)
async def get_mbiz_account(
    context: Linking,
    pp: Pp,
    call: Upstream,
    email: Annotated[
        Email | None, Query(description="The token's own address, which is the default.")
    ] = None,
) -> MbizAccountOut:
    """For a profile page. Only the PP's own address, which the portal vouches for, is answered for."""
    return await accounts.mbiz_account(context, pp, call, email)


def _mapping(row: AnyRow) -> MappingOut:
    mapped = row.status == "mapped"
    failure = None
    if row.last_failure_code is not None:
        failure = LastFailureOut(code=row.last_failure_code, at=row.last_failure_at)
    return MappingOut(
        satker_id=row.id,
        status=row.status,
        company=company(row),
        via=row.via if mapped else None,
        mapped_at=row.granted_at if mapped else None,
        last_failure=failure,
    )


async def _linked(context: Linking, pp: Pp, satker_id: str, given: Given | None) -> Response:
    """What was made, as it was committed: nothing is asked any more, whose failing could hide that it worked."""
    if given is None:
        return await _answer(context, pp, satker_id, 200)
    mapping = MappingOut(
        satker_id=satker_id,
        status="mapped",
        company=CompanyOut(company_id=given.company.company_id, name=given.company.name),
        via=given.via,
        mapped_at=given.at,
        last_failure=None,
    )
    return _said(mapping, 201)


def _said(mapping: MappingOut, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(
        mapping.model_dump_json(), status_code=status, media_type="application/json", headers=headers
    )


async def _answer(context: Linking, pp: Pp, satker_id: str, status: int) -> Response:
    mapping = _mapping(await context.lookup.get(pp.pp_id, satker_id))
    if mapping.status == "mapped" and status == 202:  # another request has finished it meanwhile
        status = 200
    headers = None
    if status == 202:
        wait = await _wait(context, pp, satker_id)
        headers = {"Location": f"/v1/satkers/{satker_id}/mapping", "Retry-After": str(wait)}
    return _said(mapping, status, headers)


async def _wait(context: Linking, pp: Pp, satker_id: str) -> int:
    """The seconds that `entry` would say."""
    live = (await standing.read(context.reader, pp.pp_id, satker_id)).live
    return live.wait if live else LINK_RETRY
