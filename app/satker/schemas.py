"""The PP's own satkers, as they are sent and answered."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from app.fields import In, OpaqueId

Status = Literal["unmapped", "checking", "mapped", "mapped_by_other"]


class CompanyOut(BaseModel):
    """An mbizmarket company."""

    company_id: str
    name: str


class MappingSummaryOut(BaseModel):
    """`company` is there when `status` is `mapped`, null otherwise."""

    status: Status
    company: CompanyOut | None


class SatkerOut(BaseModel):
    """A satker on the PP's own list. `updated_at` changes with add, PATCH and primary."""

    id: str
    catalog_id: str
    satker_code: str | None
    satker_name: str
    klpd_code: str
    klpd_name: str
    is_primary: bool
    created_at: datetime
    updated_at: datetime
    mapping: MappingSummaryOut


class SatkerPageOut(BaseModel):
    items: list[SatkerOut]
    page: int
    size: int
    total: int
    pages: int


class SatkerIn(In):
    catalog_id: OpaqueId


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
