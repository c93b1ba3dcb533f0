"""The PP's own satkers, as they are sent and answered."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from app.fields import In, OpaqueId

Status = Literal["unmapped", "checking", "mapped", "mapped_by_other"]
STATUS = Field(
    description="`unmapped`: the satker has no company. `checking`: a registration of this PP is under way, or its "
    "outcome is being found out. `mapped`: it has a company, and this PP has access. `mapped_by_other`: it has a "
    "company, which is not shown: this PP has yet to prove an account of it. Further values may be added."
)


class CompanyOut(BaseModel):
    """An mbizmarket company (perusahaan): the buyer's account that a satker shops with."""

    company_id: str = Field(description="mbizmarket's id; it never changes.")
    name: str


class MappingSummaryOut(BaseModel):
    """The satker's mapping in short; `GET /v1/satkers/{satker_id}/mapping` tells more."""

    status: Status = STATUS
    company: CompanyOut | None = Field(description="There when `status` is `mapped`, null otherwise.")


class SatkerOut(BaseModel):
    """A satker on the PP's own list."""

    id: str = Field(description="Of this entry on the list; adding the satker again makes a new one.")
    catalog_id: str
    satker_code: str | None
    satker_name: str
    klpd_code: str
    klpd_name: str
    is_primary: bool = Field(
        description="Primary (utama) or additional (tambahan); one of the list is primary."
    )
    created_at: datetime
    updated_at: datetime = Field(
        description="Terakhir berubah: added, changed, or made primary or additional."
    )
    mapping: MappingSummaryOut


class SatkerPageOut(BaseModel):
    """One page of the list."""

    items: list[SatkerOut]
    page: int = Field(description="From 1.")
    size: int = Field(description="Most items on a page.")
    total: int = Field(description="Items on all pages.")
    pages: int = Field(description="0 when there is nothing.")


class SatkerIn(In):
    """A satker of the catalog to put on the list."""

    catalog_id: OpaqueId = Field(description="From `GET /v1/klpd/{code}/satkers`.")


def _may_be_absent(schema: dict[str, Any]) -> None:
    """May be left out, but not be null: the document names no default."""
    schema.pop("default", None)


def _not_a_number(value: object) -> object:
    """pydantic takes 1 and 1.0 for true."""
    return None if isinstance(value, int | float) and value is not True else value


_ABSENT: Any = Field(default=None, json_schema_extra=_may_be_absent)


class SatkerPatch(In):
    """At least one of the two. A primary satker is replaced by making another one primary, so only true is taken."""

    is_primary: Annotated[Literal[True], BeforeValidator(_not_a_number)] = _ABSENT
    catalog_id: OpaqueId = _ABSENT

    @model_validator(mode="after")
    def _says_something(self) -> "SatkerPatch":
        if not self.model_fields_set:
            raise PydanticCustomError("required", "required")
        return self


Sort = Literal["updated_at", "satker_name", "klpd_name", "-updated_at", "-satker_name", "-klpd_name"]
