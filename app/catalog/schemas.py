"""The catalog, as it is answered."""

from pydantic import BaseModel


class KlpdOut(BaseModel):
    """A K/L/P/D; `kind` is LKPP's jenis_klpd, such as KEMENTERIAN or KABUPATEN, where it is known."""

    code: str
    name: str
    kind: str | None


class KlpdPageOut(BaseModel):
    items: list[KlpdOut]
    next_cursor: str | None


class CatalogSatkerOut(BaseModel):
    """A satker of the catalog. It has at least one of `code` (leading zeros count, not unique) and `kd_satker`."""

    catalog_id: str
    code: str | None
    kd_satker: str | None
    name: str
    klpd_code: str
    klpd_name: str


class CatalogSatkerPageOut(BaseModel):
    items: list[CatalogSatkerOut]
    next_cursor: str | None
