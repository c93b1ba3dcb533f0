"""The catalog, as it is answered."""

from pydantic import BaseModel, Field

NEXT = Field(description="Send it as `cursor` to get the next page; null on the last one.")


class KlpdOut(BaseModel):
    """A K/L/P/D: ministry, agency or local government (kementerian, lembaga, pemerintah daerah)."""

    code: str = Field(description="LKPP's kd_klpd.")
    name: str
    kind: str | None = Field(
        description="LKPP's jenis_klpd, such as KEMENTERIAN or KABUPATEN, where it is known."
    )


class KlpdPageOut(BaseModel):
    """K/L/P/D in the order of their names."""

    items: list[KlpdOut]
    next_cursor: str | None = NEXT


class CatalogSatkerOut(BaseModel):
    """A satker (satuan kerja) of the catalog. It has at least one of `code` and `kd_satker`."""

    catalog_id: str = Field(description="Send it to `POST /v1/satkers`.")
    code: str | None = Field(
        description="The code that people know; leading zeros count, and it is not unique."
    )
    kd_satker: str | None = Field(description="LKPP's own id of the satker; unique.")
    name: str
    klpd_code: str
    klpd_name: str


class CatalogSatkerPageOut(BaseModel):
    """Satkers in the order of their names."""

    items: list[CatalogSatkerOut]
    next_cursor: str | None = NEXT
