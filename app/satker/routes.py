"""The PP's own satkers: list, add, read, change, remove."""

import hashlib
from typing import Annotated

from fastapi import Header, Query, Response

from app.deps import Db, Linking, Pp, SatkerId, as_json, v1_router
from app.fields import Query as Words
from app.openapi import problems
from app.problems import (
    CatalogSatkerNotFound,
    LinkInProgress,
    PrimarySatker,
    SatkerAlreadyAdded,
    SatkerHasMapping,
    SatkerLimitReached,
    SatkerNotFound,
    VersionConflict,
)
from app.satker import store
from app.satker.schemas import SatkerIn, SatkerOut, SatkerPageOut, SatkerPatch, Sort, Status
from app.satker.view import satker

router = v1_router("Satker")

ETAG = {"description": "Of this whole representation; strong.", "schema": {"type": "string"}}
LOCATION = {"description": "The satker", "schema": {"type": "string"}}


@router.get(
    "/satkers", operation_id="listSatkers", summary="The PP's own satkers", response_model=SatkerPageOut
)
async def list_satkers(
    context: Linking,
    pp: Pp,
    q: Annotated[Words, Query(description="Any part of names or codes.")] = "",
    is_primary: Annotated[
        bool | None, Query(description="Only the primary (utama), or only the others.")
    ] = None,
    status: Annotated[Status | None, Query(description="Only with this status of the mapping.")] = None,
    sort: Annotated[
        Sort, Query(description="By code point, ties by id; `-` before it is descending.")
    ] = "-updated_at",
    page: Annotated[int, Query(ge=1, le=1_000_000, description="From 1.")] = 1,
    size: Annotated[int, Query(ge=1, le=100, description="Most items on a page.")] = 10,
) -> Response:
    """What the PP serves, with the status of each mapping: enough to draw the list (Lihat) without further calls."""
    rows, total = await store.page(
        context.reader, pp.pp_id, q=q, is_primary=is_primary, status=status, sort=sort, page=page, size=size
    )
    items = [satker(row) for row in rows]
    return as_json(SatkerPageOut(items=items, page=page, size=size, total=total, pages=-(-total // size)))


@router.post(
    "/satkers",
    operation_id="addSatker",
    summary="Put a catalog satker on the list",
    status_code=201,
    response_model=SatkerOut,
    responses={
        201: {"headers": {"Location": LOCATION, "ETag": ETAG}},
        **problems(CatalogSatkerNotFound, SatkerAlreadyAdded, SatkerLimitReached),
    },
)
async def add_satker(db: Db, pp: Pp, body: SatkerIn) -> Response:
    """Tambah Baru. The first one becomes primary (utama). One that was removed before gets a new `id` and no access."""
    async with db.begin() as tx:
        added = satker(await store.add(tx, pp.pp_id, body.catalog_id))
    return _answer(added, 201, {"Location": f"/v1/satkers/{added.id}"})


@router.get(
    "/satkers/{satker_id}",
    operation_id="getSatker",
    summary="One satker",
    response_model=SatkerOut,
    responses={
        200: {"headers": {"ETag": ETAG}},
        304: {"description": "Not changed since the `ETag` in `If-None-Match`", "headers": {"ETag": ETAG}},
        **problems(SatkerNotFound),
    },
)
async def get_satker(
    context: Linking,
    pp: Pp,
    satker_id: SatkerId,
    if_none_match: Annotated[str | None, Header(description="The `ETag` that you have, or several.")] = None,
) -> Response:
    """The satker with a strong `ETag` over all of it, the mapping's status too. Another PP's satker is 404."""
    answer = _answer(satker(await store.read(context.reader, pp.pp_id, satker_id)))
    if if_none_match is not None and _matches(if_none_match, answer.headers["ETag"], weak=True):
        return Response(status_code=304, headers={"ETag": answer.headers["ETag"]})
    return answer


@router.patch(
    "/satkers/{satker_id}",
    operation_id="changeSatker",
    summary="Make it primary, or put another catalog satker in its place",
    response_model=SatkerOut,
    responses={
        200: {"headers": {"ETag": ETAG}},
        **problems(
            SatkerNotFound,
            CatalogSatkerNotFound,
            SatkerAlreadyAdded,
            LinkInProgress,
            SatkerHasMapping,
            VersionConflict,
        ),
    },
)
async def change_satker(
    db: Db,
    pp: Pp,
    satker_id: SatkerId,
    body: SatkerPatch,
    if_match: Annotated[
        str | None, Header(description="The `ETag` that you read: 412 if the satker changed since.")
    ] = None,
) -> Response:
    """`is_primary: true` makes it primary (utama) and the one before additional. `catalog_id` exchanges the satker,
    which a mapping or an open registration of the PP's own forbids.
    """
    async with db.begin() as tx:
        row = await store.lock(tx, pp.pp_id, satker_id)
        if if_match is not None and not _matches(if_match, _etag(satker(row)), weak=False):
            raise VersionConflict
        if "catalog_id" in body.model_fields_set:
            await store.change(tx, pp.pp_id, row, body.catalog_id)
        if body.is_primary:
            await store.make_primary(tx, pp.pp_id, satker_id)
        changed = satker(await store.get(tx, pp.pp_id, satker_id))
    return _answer(changed)


@router.delete(
    "/satkers/{satker_id}",
    operation_id="removeSatker",
    summary="Take it off the list",
    status_code=204,
    responses=problems(SatkerNotFound, LinkInProgress, PrimarySatker, SatkerHasMapping),
)
async def remove_satker(
    db: Db,
    pp: Pp,
    satker_id: SatkerId,
    unlink: Annotated[bool, Query(description="End the own access to the mapping too.")] = False,
) -> None:
    """Hapus. The primary satker goes last. A mapping is in the way unless `unlink` says to end the own access."""
    async with db.begin() as tx:
        await store.remove(tx, pp.pp_id, satker_id, unlink=unlink)


def _answer(out: SatkerOut, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = out.model_dump_json()
    return Response(
        body,
        status_code=status,
        media_type="application/json",
        headers={"ETag": _tag(body), **(headers or {})},
    )


def _etag(out: SatkerOut) -> str:
    return _tag(out.model_dump_json())


def _tag(body: str) -> str:
    return f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'


def _matches(header: str, etag: str, *, weak: bool) -> bool:
    """RFC 9110: If-None-Match compares weakly, If-Match strongly; `*` is whatever there is."""
    tags = [tag.strip() for tag in header.split(",")]
    return "*" in tags or any((tag.removeprefix("W/") if weak else tag) == etag for tag in tags)
