"""The catalog: a PP picks a K/L/P/D, then a satker in it."""

from typing import Annotated

from fastapi import Path, Query, Response

from app import cursors
from app.catalog import store
from app.catalog.schemas import CatalogSatkerOut, CatalogSatkerPageOut, KlpdOut, KlpdPageOut
from app.deps import Db, Linking, as_json, v1_router
from app.fields import Query as Words
from app.openapi import problems
from app.problems import KlpdNotFound, invalid_field

router = v1_router("Katalog")

Q = Annotated[Words, Query(description="Any part of the name, words in any order, or the start of the code.")]
Limit = Annotated[int, Query(ge=1, le=100, description="Most items on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=cursors.MAX_CURSOR, description="`next_cursor` of the page before.")
]


@router.get("/klpd", operation_id="listKlpd", summary="Find a K/L/P/D", response_model=KlpdPageOut)
async def list_klpd(context: Linking, q: Q = "", limit: Limit = 20, cursor: Cursor = None) -> Response:
    """The first step of Tambah Baru: the ministry, agency or local government that the satker belongs to."""
    try:
        page = await store.find_klpds(context.reader, q, cursor=cursor, limit=limit)
    except cursors.BadCursor:
        raise invalid_field("cursor") from None
    items = [KlpdOut(code=row.code, name=row.name, kind=row.kind) for row in page.items]
    return as_json(KlpdPageOut(items=items, next_cursor=page.next_cursor))


@router.get(
    "/klpd/{code}/satkers",
    operation_id="listCatalogSatkers",
    summary="Find a satker of a K/L/P/D",
    response_model=CatalogSatkerPageOut,
    responses=problems(KlpdNotFound),
)
async def list_catalog_satkers(
    db: Db,
    code: Annotated[str, Path(description="`code` of a K/L/P/D.")],
    q: Q = "",
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """The second step of Tambah Baru. `code` is the one that people know; not every satker has one."""
    try:
        found = await store.find_satkers(db, code, q, cursor=cursor, limit=limit)
    except cursors.BadCursor:
        raise invalid_field("cursor") from None
    if found is None:
        raise KlpdNotFound
    klpd_name, page = found
    items = [
        CatalogSatkerOut(
            catalog_id=row.id,
            code=row.code,
            kd_satker=row.kd_satker,
            name=row.name,
            klpd_code=row.klpd_code,
            klpd_name=klpd_name,
        )
        for row in page.items
    ]
    return as_json(CatalogSatkerPageOut(items=items, next_cursor=page.next_cursor))
