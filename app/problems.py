"""The error catalogue (RFC 9457): a no is a class with a status, a code and one true sentence in two languages.

`code` is for programs and never changes; `title` is for people. No problem repeats a value that was sent.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse

Language = Literal["id", "en"]


class Problem(Exception):
    """A no. `faults` are (field, code) pairs, `extra` further members of the body, `retry_after` seconds.

    `id` and `en` are what people read; `when` and `do` are for integrators, who find them in openapi/problems.md.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    id: ClassVar[str]
    en: ClassVar[str]
    when: ClassVar[str]
    do: ClassVar[str]

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
    when = "The body is not JSON in UTF-8."
    do = "Mend the client: the same body fails again."


class Unauthenticated(Problem):
    status, code = 401, "unauthenticated"
    id, en = "Sesi Anda tidak berlaku. Silakan masuk kembali.", "A valid bearer token is needed."
    when = (
        "The bearer token is missing, expired, badly signed or not meant for this service; all answer alike."
    )
    do = (
        "Get a fresh token from the portal and repeat the call once. If that fails too, the person has to"
        " sign in again."
    )


class RoleNotAllowed(Problem):
    status, code = 403, "role_not_allowed"
    id, en = "Peran Anda tidak dapat memakai layanan ini.", "Your role cannot use this service."
    when = "The token's `role` may not use this service."
    do = "Tell the person. A retry does not help."


class EmailUnverified(Problem):
    status, code = 403, "email_unverified"
    id, en = "Alamat e-mail Anda belum terverifikasi.", "Your e-mail address is not verified."
    when = "The token has no e-mail address, or one that the portal does not vouch for."
    do = "Go on to log in or register: neither needs a verified address."


class EmailNotYours(Problem):
    status, code = 403, "email_not_yours"
    id, en = "Alamat e-mail itu bukan milik Anda.", "That e-mail address is not yours."
    when = "`email` is not the address in the token."
    do = "Leave `email` out: the token's own is taken."


class NotFound(Problem):
    status, code = 404, "not_found"
    id, en = "Halaman tidak ditemukan.", "There is nothing here."
    when = (
        "There is no such path. Under `/v1/admin`: no such mapping, attempt or access, or the token lacks"
        " the scope `mappings:admin`."
    )
    do = "Check the path and the id."


class KlpdNotFound(Problem):
    status, code = 404, "klpd_not_found"
    id, en = "K/L/P/D tidak ditemukan.", "No such K/L/P/D."
    when = "The catalog has no K/L/P/D with this code."
    do = "Let the person pick one of `GET /v1/klpd`."


class CatalogSatkerNotFound(Problem):
    status, code = 404, "catalog_satker_not_found"
    id, en = "Satuan kerja tidak ada dalam katalog.", "The catalog has no such satker."
    when = "The catalog has no satker with this `catalog_id`, or no longer shows it."
    do = "Let the person search the catalog again."


class SatkerNotFound(Problem):
    status, code = 404, "satker_not_found"
    id, en = "Satuan kerja tidak ada dalam daftar Anda.", "Your list has no such satker."
    when = "This id is not on the PP's own list: it never was, is another PP's, or was removed."
    do = "Read `GET /v1/satkers` again and show the list."


class CompanyNotFound(Problem):
    status, code = 404, "company_not_found"
    id, en = "Perusahaan itu tidak ada dalam akun mbizmarket.", "The mbizmarket account has no such company."
    when = "The `company_id` that was sent is not one of the account's companies."
    do = "Offer the companies of the last answer again, or call `entry` again."


class MethodNotAllowed(Problem):
    status, code = 405, "method_not_allowed"
    id, en = "Metode ini tidak berlaku di sini.", "This method does not work here."
    when = "The path exists, but not with this method; `Allow` names those that it has."
    do = "Mend the client."


class SatkerAlreadyAdded(Problem):
    status, code = 409, "satker_already_added"
    id, en = "Satuan kerja ini sudah ada dalam daftar Anda.", "This satker is on your list already."
    when = "The satker is on the PP's list already. A repeated `POST` gets this as well."
    do = "Treat it as done: find it by `GET /v1/satkers?q=` and go on."


class SatkerLimitReached(Problem):
    status, code = 409, "satker_limit_reached"
    id, en = "Daftar Anda sudah memuat 200 satuan kerja.", "Your list holds 200 satkers already."
    when = "The list holds 200 satkers."
    do = "Ask the person to remove one first."


class LinkInProgress(Problem):
    status, code = 409, "link_in_progress"
    id = "Pendaftaran untuk satuan kerja atau e-mail ini masih diperiksa. Coba lagi sebentar lagi."
    en = "A registration for this satker or e-mail is still being checked. Try again in a moment."
    when = (
        "A registration for this satker, or with this e-mail address, is under way or being checked. "
        "Nothing was sent."
    )
    do = "Wait `Retry-After` seconds, then call `entry`, or repeat the call."


class SatkerHasMapping(Problem):
    status, code = 409, "satker_has_mapping"
    id = "Satuan kerja ini terhubung dengan perusahaan mbizmarket. Putuskan dahulu."
    en = "This satker is tied to an mbizmarket company. End that first."
    when = "The satker is `mapped`, and this call would lose its company."
    do = "Ask the person. Then `DELETE …/mapping` first, or remove with `unlink=true`."


class PrimarySatker(Problem):
    status, code = 409, "primary_satker"
    id = "Satuan kerja utama tidak dapat dihapus selama masih ada yang lain."
    en = "The primary satker cannot be removed while others remain."
    when = "The primary satker (utama) cannot be removed while others remain."
    do = "Make another one primary first: `PATCH` with `is_primary: true`."


class SatkerAlreadyMapped(Problem):
    status, code = 409, "satker_already_mapped"
    id = "Satuan kerja ini sudah terhubung dengan perusahaan mbizmarket lain."
    en = "This satker is tied to another mbizmarket company already."
    when = (
        "The satker has a company already, and what was proven is not an account of it. Which company it "
        "is, is not told."
    )
    do = "Ask for an account of the satker's own company: a colleague may know it. `entry` says how to go on."


class CompanyAlreadyMapped(Problem):
    status, code = 409, "company_already_mapped"
    id = "Perusahaan ini sudah terhubung dengan satuan kerja lain."
    en = "This company serves another satker already."
    when = "The company serves another satker. A company serves one only."
    do = (
        "Let the person choose another company or account. If the other satker is the wrong one, an "
        "operator can move the company."
    )


class CompanyInactive(Problem):
    status, code = 409, "company_inactive"
    id, en = "Perusahaan ini tidak aktif di mbizmarket.", "This company is inactive at mbizmarket."
    when = "mbizmarket has closed the company, for now or for good."
    do = "Tell the person to turn to mbizmarket, or to link another company."


class CompanyGone(Problem):
    status, code = 409, "company_gone"
    id, en = "Perusahaan ini tidak ada lagi di mbizmarket.", "This company no longer exists at mbizmarket."
    when = "mbizmarket no longer knows the company that the satker is mapped to."
    do = (
        "Offer to log in or register anew: the old mapping ends by that. A PP without access needs an "
        "operator."
    )


class NoActiveCompany(Problem):
    status, code = 409, "no_active_company"
    id = "Akun mbizmarket ini tidak memiliki perusahaan yang aktif."
    en = "This mbizmarket account has no active company."
    when = "The password was right, but the account has no active company."
    do = "Let the person use another account, or register."


class CompanyChoiceRequired(Problem):
    status, code = 409, "company_choice_required"
    id = "Akun ini memiliki beberapa perusahaan. Pilih salah satu."
    en = "This account has several companies. Choose one."
    when = (
        "The password was right, and several companies of the account are free. A question rather than a "
        "refusal."
    )
    do = "Show `companies` and repeat the call with the `company_id` that was chosen."


class AttemptClosed(Problem):
    status, code = 409, "attempt_closed"
    id, en = "Pendaftaran ini sudah selesai.", "The outcome of this registration is settled already."
    when = "The registration is no longer open."
    do = "Read `GET /v1/admin/attempts` again."


class EmailTaken(Problem):
    status, code = 409, "email_taken"
    id = "E-mail ini sudah terdaftar di mbizmarket. Silakan masuk dengan akun itu."
    en = "This e-mail is registered at mbizmarket already. Log in with that account."
    when = "mbizmarket has an account with this e-mail address. Nothing was made."
    do = "Offer to log in with that address, or to register with another."


class VersionConflict(Problem):
    status, code = 412, "version_conflict"
    id, en = (
        "Data sudah berubah. Muat ulang, lalu coba lagi.",
        "The data changed meanwhile. Read it again first.",
    )
    when = "`If-Match` names an older version of the satker."
    do = "Read the satker again, show what changed, and let the person decide."


class BodyTooLarge(Problem):
    status, code = 413, "body_too_large"
    id, en = "Isi permintaan lebih dari 16 KiB.", "The body is over 16 KiB."
    when = "The body has more than 16 KiB."
    do = "Mend the client."


class UnsupportedMediaType(Problem):
    status, code = 415, "unsupported_media_type"
    id, en = "Isi permintaan harus application/json.", "The body must be application/json."
    when = "The body was sent as something else than JSON."
    do = "Send `Content-Type: application/json`."


class ValidationFailed(Problem):
    status, code = 422, "validation_failed"
    id, en = "Periksa kembali isian Anda.", "Some fields need another look."
    when = "Fields or query parameters are missing, malformed or unknown; `errors` has up to 20 of them."
    do = "Show each `message` at its `field`. An unknown field is the client's mistake."


class InvalidCredentials(Problem):
    status, code = 422, "invalid_credentials"
    id, en = "E-mail atau kata sandi salah.", "The e-mail or the password is wrong."
    when = "The e-mail address or the password is wrong; which of them is not told."
    do = "Let the person type both again, and offer `forgot_password_url`."


class MbizRejected(Problem):
    status, code = 422, "mbiz_rejected"
    id, en = "mbizmarket menolak data pendaftaran ini.", "mbizmarket refused this registration's data."
    when = "mbizmarket refuses the registration's data; `errors` says which. Nothing was made."
    do = "Show each `message` at its `field` and let the person send it again."


class TooManyAttempts(Problem):
    status, code = 429, "too_many_attempts"
    id, en = "Terlalu banyak percobaan. Coba lagi nanti.", "Too many attempts. Try again later."
    when = (
        "Too many failed log-ins or registrations by this PP, for this e-mail address or from this "
        "network address; or mbizmarket has locked the account."
    )
    do = "Wait `Retry-After` seconds. Do not repeat before."


class RateLimited(Problem):
    status, code = 429, "rate_limited"
    id, en = "Terlalu banyak permintaan. Coba lagi nanti.", "Too many requests. Try again later."
    when = "The PP's calls of this minute are used up; `RateLimit` says what is left."
    do = "Wait `Retry-After` seconds, then repeat the call."


class InternalError(Problem):
    status, code = 500, "internal_error"
    id, en = "Terjadi kesalahan pada layanan.", "Something went wrong on our side."
    when = "A fault of this service."
    do = "Repeat the call once, which is safe. If that fails too, report the `request_id`."


class MbizBadResponse(Problem):
    status, code = 502, "mbiz_bad_response"
    id, en = "Jawaban mbizmarket tidak dapat dipahami.", "mbizmarket's answer could not be understood."
    when = "mbizmarket answered something that its contract does not have."
    do = "Offer to try again later; report the `request_id` if it lasts."


class MbizUnavailable(Problem):
    status, code = 503, "mbiz_unavailable"
    id = "mbizmarket sedang tidak dapat dihubungi. Coba lagi nanti."
    en = "mbizmarket cannot be reached now. Try again later."
    when = "mbizmarket cannot be reached, or turns calls away. A registration was not sent."
    do = "Wait `Retry-After` seconds and repeat the call. Lists and mappings can be read meanwhile."


class DatabaseAway(Problem):
    status, code = 503, "database_unavailable"
    id, en = (
        "Layanan sedang tidak tersedia. Coba lagi nanti.",
        "The service is not available now. Try again later.",
    )
    when = "The service's own database cannot be reached."
    do = "Wait `Retry-After` seconds and repeat the call. A registration that had been sent is found out."
    RETRY: ClassVar = 5  # seconds


class MbizTimeout(Problem):
    status, code = 504, "mbiz_timeout"
    id, en = "mbizmarket terlalu lama menjawab. Coba lagi.", "mbizmarket took too long to answer. Try again."
    when = "mbizmarket did not answer in time. A registration never ends so: it is 202 and `checking`."
    do = "Repeat the call."


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
    state["outcome"] = problem.code
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
