"""The error catalogue (RFC 9457): a no is a class with a status, a code and one true sentence in two languages.

`code` is for programs and never changes; `title` is for people. No problem repeats a value that was sent.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal

from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse

Language = Literal["id", "en"]


class FieldError(BaseModel):
    """A field that was refused: its dotted path, a code for programs, a sentence for people."""

    field: str
    code: str
    message: str


class ProblemOut(BaseModel):
    """An error that a program can act on, by `code`."""

    type: str
    title: str
    status: int
    code: str
    detail: str | None = None
    request_id: str
    errors: list[FieldError] | None = None


class Problem(Exception):
    """A no. `faults` are (field, code) pairs, `extra` further members of the body, `retry_after` seconds."""

    status: ClassVar[int]
    code: ClassVar[str]
    id: ClassVar[str]
    en: ClassVar[str]

    def __init__(
        self,
        *,
        faults: Iterable[tuple[str, str]] = (),
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(self.code)
        self.faults = tuple(faults)
        self.retry_after = retry_after
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def body(self, language: Language, request_id: str) -> dict[str, Any]:
        """The members of the answer, without those that are absent."""
        errors = [{"field": f, "code": c, "message": message(c, language)} for f, c in self.faults]
        return {
            "type": f"urn:satu-pp:problem:{self.code}",
            "title": self.en if language == "en" else self.id,
            "status": self.status,
            "code": self.code,
            "request_id": request_id,
            **({"errors": errors} if errors else {}),
            **self.extra,
        }


class MalformedBody(Problem):
    status, code = 400, "malformed_body"
    id, en = "Isi permintaan bukan JSON yang sah.", "The body is not valid JSON in UTF-8."


class Unauthenticated(Problem):
    status, code = 401, "unauthenticated"
    id, en = "Sesi Anda tidak berlaku. Silakan masuk kembali.", "A valid bearer token is needed."


class RoleNotAllowed(Problem):
    status, code = 403, "role_not_allowed"
    id, en = "Peran Anda tidak dapat memakai layanan ini.", "Your role cannot use this service."


class EmailUnverified(Problem):
    status, code = 403, "email_unverified"
    id, en = "Alamat e-mail Anda belum terverifikasi.", "Your e-mail address is not verified."


class EmailNotYours(Problem):
    status, code = 403, "email_not_yours"
    id, en = "Alamat e-mail itu bukan milik Anda.", "That e-mail address is not yours."


class NotFound(Problem):
    status, code = 404, "not_found"
    id, en = "Halaman tidak ditemukan.", "There is nothing here."


class KlpdNotFound(Problem):
    status, code = 404, "klpd_not_found"
    id, en = "K/L/P/D tidak ditemukan.", "No such K/L/P/D."


class CatalogSatkerNotFound(Problem):
    status, code = 404, "catalog_satker_not_found"
    id, en = "Satuan kerja tidak ada dalam katalog.", "The catalog has no such satker."


class SatkerNotFound(Problem):
    status, code = 404, "satker_not_found"
    id, en = "Satuan kerja tidak ada dalam daftar Anda.", "Your list has no such satker."


class CompanyNotFound(Problem):
    status, code = 404, "company_not_found"
    id, en = "Perusahaan itu tidak ada dalam akun mbizmarket.", "The mbizmarket account has no such company."


class MethodNotAllowed(Problem):
    status, code = 405, "method_not_allowed"
    id, en = "Metode ini tidak berlaku di sini.", "This method does not work here."


class SatkerAlreadyAdded(Problem):
    status, code = 409, "satker_already_added"
    id, en = "Satuan kerja ini sudah ada dalam daftar Anda.", "This satker is on your list already."


class SatkerLimitReached(Problem):
    status, code = 409, "satker_limit_reached"
    id, en = "Daftar Anda sudah memuat 200 satuan kerja.", "Your list holds 200 satkers already."


class LinkInProgress(Problem):
    status, code = 409, "link_in_progress"
    id = "Pendaftaran untuk satuan kerja atau e-mail ini masih diperiksa. Coba lagi sebentar lagi."
    en = "A registration for this satker or e-mail is still being checked. Try again in a moment."


class SatkerHasMapping(Problem):
    status, code = 409, "satker_has_mapping"
    id = "Satuan kerja ini terhubung dengan perusahaan mbizmarket. Putuskan dahulu."
    en = "This satker is tied to an mbizmarket company. End that first."


class PrimarySatker(Problem):
    status, code = 409, "primary_satker"
    id = "Satuan kerja utama tidak dapat dihapus selama masih ada yang lain."
    en = "The primary satker cannot be removed while others remain."


class SatkerAlreadyMapped(Problem):
    status, code = 409, "satker_already_mapped"
    id = "Satuan kerja ini sudah terhubung dengan perusahaan mbizmarket lain."
    en = "This satker is tied to another mbizmarket company already."


class CompanyAlreadyMapped(Problem):
    status, code = 409, "company_already_mapped"
    id = "Perusahaan ini sudah terhubung dengan satuan kerja lain."
    en = "This company serves another satker already."


class CompanyInactive(Problem):
    status, code = 409, "company_inactive"
    id, en = "Perusahaan ini tidak aktif di mbizmarket.", "This company is inactive at mbizmarket."


class CompanyGone(Problem):
    status, code = 409, "company_gone"
    id, en = "Perusahaan ini tidak ada lagi di mbizmarket.", "This company no longer exists at mbizmarket."


class NoActiveCompany(Problem):
    status, code = 409, "no_active_company"
    id = "Akun mbizmarket ini tidak memiliki perusahaan yang aktif."
    en = "This mbizmarket account has no active company."


class CompanyChoiceRequired(Problem):
    status, code = 409, "company_choice_required"
    id = "Akun ini memiliki beberapa perusahaan. Pilih salah satu."
    en = "This account has several companies. Choose one."


class AttemptClosed(Problem):
    status, code = 409, "attempt_closed"
    id, en = "Pendaftaran ini sudah selesai.", "The outcome of this registration is settled already."


class EmailTaken(Problem):
    status, code = 409, "email_taken"
    id = "E-mail ini sudah terdaftar di mbizmarket. Silakan masuk dengan akun itu."
    en = "This e-mail is registered at mbizmarket already. Log in with that account."


class VersionConflict(Problem):
    status, code = 412, "version_conflict"
    id, en = (
        "Data sudah berubah. Muat ulang, lalu coba lagi.",
        "The data changed meanwhile. Read it again first.",
    )


class BodyTooLarge(Problem):
    status, code = 413, "body_too_large"
    id, en = "Isi permintaan lebih dari 16 KiB.", "The body is over 16 KiB."


class UnsupportedMediaType(Problem):
    status, code = 415, "unsupported_media_type"
    id, en = "Isi permintaan harus application/json.", "The body must be application/json."


class ValidationFailed(Problem):
    status, code = 422, "validation_failed"
    id, en = "Periksa kembali isian Anda.", "Some fields need another look."


class InvalidCredentials(Problem):
    status, code = 422, "invalid_credentials"
    id, en = "E-mail atau kata sandi salah.", "The e-mail or the password is wrong."


class MbizRejected(Problem):
    status, code = 422, "mbiz_rejected"
    id, en = "mbizmarket menolak data pendaftaran ini.", "mbizmarket refused this registration's data."


class TooManyAttempts(Problem):
    status, code = 429, "too_many_attempts"
    id, en = "Terlalu banyak percobaan. Coba lagi nanti.", "Too many attempts. Try again later."


class RateLimited(Problem):
    status, code = 429, "rate_limited"
    id, en = "Terlalu banyak permintaan. Coba lagi nanti.", "Too many requests. Try again later."


class InternalError(Problem):
    status, code = 500, "internal_error"
    id, en = "Terjadi kesalahan pada layanan.", "Something went wrong on our side."


class MbizBadResponse(Problem):
    status, code = 502, "mbiz_bad_response"
    id, en = "Jawaban mbizmarket tidak dapat dipahami.", "mbizmarket's answer could not be understood."


class MbizUnavailable(Problem):
    status, code = 503, "mbiz_unavailable"
    id = "mbizmarket sedang tidak dapat dihubungi. Coba lagi nanti."
    en = "mbizmarket cannot be reached now. Try again later."


class DatabaseAway(Problem):
    status, code = 503, "database_unavailable"
    id, en = (
        "Layanan sedang tidak tersedia. Coba lagi nanti.",
        "The service is not available now. Try again later.",
    )


class MbizTimeout(Problem):
    status, code = 504, "mbiz_timeout"
    id, en = "mbizmarket terlalu lama menjawab. Coba lagi.", "mbizmarket took too long to answer. Try again."


# What a field error says: code → (Indonesian, English). mbizmarket's own codes are among them.
MESSAGES: Mapping[str, tuple[str, str]] = {
    "required": ("Wajib diisi.", "This is required."),
    "invalid": ("Isian tidak sah.", "This is not valid."),
    "too_short": ("Terlalu pendek.", "This is too short."),
    "too_long": ("Terlalu panjang.", "This is too long."),
    "too_weak": ("Kata sandi terlalu lemah.", "The password is too weak."),
    "not_served": ("Wilayah ini belum dilayani mbizmarket.", "mbizmarket does not serve this area."),
    "unknown_field": ("Isian ini tidak dikenal.", "This field is not known."),
    "out_of_range": ("Di luar batas yang diizinkan.", "This is outside the allowed range."),
    "control_characters": (
        "Memuat karakter yang tidak diizinkan.",
        "This holds characters that are not allowed.",
    ),
    "invalid_email": ("Alamat e-mail tidak sah.", "This is not an e-mail address."),
    "invalid_phone": (
        "Nomor telepon harus 8 sampai 20 angka, spasi, atau tanda + ( ) -.",
        "A phone number is 8 to 20 digits, blanks or + ( ) -.",
    ),
    "invalid_postal_code": ("Kode pos harus 5 angka.", "A postal code is 5 digits."),
}

# pydantic's names for what is wrong, in our words; what is not here is `invalid`.
_CODES = {
    "missing": "required",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "extra_forbidden": "unknown_field",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
}


def message(code: str, language: Language) -> str:
    return MESSAGES[code][1 if language == "en" else 0]


def validation_problem(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """pydantic's errors as ours: fields and codes, never the input."""
    if any(error["type"] == "json_invalid" for error in errors):
        return MalformedBody()
    return ValidationFailed(faults=[(_field(error["loc"]), _code(error["type"])) for error in errors[:20]])


def invalid_field(field: str, code: str = "invalid") -> Problem:
    """A 422 for one field that only the code behind the route can judge."""
    return ValidationFailed(faults=[(field, code)])


def _code(kind: str) -> str:
    return kind if kind in MESSAGES else _CODES.get(kind, "invalid")


def _field(location: Sequence[int | str]) -> str:
    """`("body", "company", "name")` is `company.name`; a name that is no plain word is hidden."""
    parts = [str(part) for part in location[1:]]
    return ".".join(part if re.fullmatch(r"[\w-]{1,64}", part, re.ASCII) else "?" for part in parts) or "body"


@lru_cache(maxsize=256)
def preferred_language(accept_language: str) -> Language:
    """English where `Accept-Language` (RFC 9110) puts it before Indonesian; Indonesian otherwise."""
    weights: dict[str, float] = {}
    for item in accept_language.split(","):
        tag, _, parameters = item.strip().partition(";")
        name = tag.strip().lower().partition("-")[0]
        weights[name] = max(weights.get(name, 0.0), _weight(parameters))
    others = weights.get("*", 0.0)
    return "en" if weights.get("en", others) > weights.get("id", others) else "id"


def _weight(parameters: str) -> float:
    match = re.fullmatch(r"\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", parameters)
    return float(match[1]) if match else float(not parameters.strip())


def respond(problem: Problem, connection: HTTPConnection) -> JSONResponse:
    """The answer to a request that got a no."""
    state = connection.scope["state"]
    headers = dict(problem.headers)
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if isinstance(problem, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        problem.body(state["language"], state["request_id"]),
        status_code=problem.status,
        headers=headers,
        media_type="application/problem+json",
    )
