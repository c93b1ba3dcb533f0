"""The lines of import-mappings' file: which can be applied, and what is wrong with the others."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from app.catalog.sources import Columns, Record
from app.catalog.text import is_clean
from app.satker.schemas import CompanyOut

COLUMNS = Columns(
    needed=("pp_id", "company_id"),
    one_of=("kd_satker", "satker_code"),
    further=("email", "klpd_code", "company_name", "account_id", "preferred"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line that can be applied, if the catalog has its satker."""

    number: int
    pp_id: str
    klpd_code: str
    code: str
    kd_satker: str
    company_id: str
    company_name: str
    account_id: str
    preferred: bool
    is_primary: bool  # the PP's first line: the satker that came with the account

    @property
    def company(self) -> CompanyOut:
        return CompanyOut(company_id=self.company_id, name=self.company_name)

    @property
    def digest(self) -> str:
        """What the line says, whatever its place in the file."""
        parts = (self.pp_id, self.klpd_code, self.code, self.kd_satker, self.company_id, self.account_id)
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def sound(source: Iterable[Record], reject: Callable[[int, str], None]) -> Iterator[Line]:
    """Those that can be applied; the others are rejected on the way, by their number and with the reason."""
    seen: set[str] = set()
    for record in source:
        reason = record.fault or _fault(record.values)
        if reason:
            reject(record.line, reason)
            continue
        line = _line(record, is_primary=record.values["pp_id"] not in seen)
        seen.add(line.pp_id)
        yield line


def _fault(values: Mapping[str, str]) -> str | None:
    if not values.get("pp_id"):
        return "pp_id is blank"
    if not all(is_clean(value) and len(value) <= 200 for value in values.values()):
        return "a value is over 200 characters, or has control characters in it"
    if not values.get("kd_satker") and not (values.get("klpd_code") and values.get("satker_code")):
        return "neither kd_satker nor klpd_code with satker_code"
    if values.get("kd_satker") and not re.fullmatch(r"[0-9]{1,18}", values["kd_satker"]):
        return "kd_satker is not a number"
    if values.get("preferred", "") not in ("", "0", "1"):
        return "preferred is neither 0, 1 nor blank"
    return None


def _line(record: Record, *, is_primary: bool) -> Line:
    values = record.values
    kd_satker = values.get("kd_satker", "")
    return Line(
        number=record.line,
        pp_id=values["pp_id"],
        klpd_code=values.get("klpd_code", ""),
        code=values.get("satker_code", ""),
        kd_satker=kd_satker and str(int(kd_satker)),  # as the catalog has it
        company_id=values.get("company_id", ""),
        company_name=values.get("company_name", "") or values.get("company_id", ""),
        account_id=values.get("account_id", ""),
        preferred=values.get("preferred") == "1",
        is_primary=is_primary,
    )
