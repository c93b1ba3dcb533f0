"""What the published document says beside the operations: who serves it, in which order it is read, what a no is."""

from typing import Any

from app.problems import MESSAGES

SUMMARY = "Ties each satker of a pejabat pengadaan (PP) to one mbizmarket company."
CONTACT = {"name": "The operators of the portal Bela Pengadaan"}
SERVERS: list[dict[str, Any]] = [
    {"url": "http://127.0.0.1:8000", "description": "On your own machine: `make run`"},
    {
        "url": "https://{host}",
        "description": "Wherever the portal's operators run it; they tell you the host",
        "variables": {"host": {"default": "satu-pp.bela.example"}},
    },
]

# In the order of the flow.
TAGS = [
    {"name": "Katalog", "description": "1. Find a K/L/P/D and a satker in LKPP's master data."},
    {"name": "Satker", "description": "2. Keep the PP's own list of satkers; one is primary (utama)."},
    {
        "name": "Mapping",
        "description": "3. Shop: `entry` says what to show next. Confirm, log in (Sudah) or register (Belum) map the "
        "satker to its mbizmarket company.",
    },
    {"name": "Riwayat", "description": "4. What happened to the PP's satkers."},
    {
        "name": "Operator",
        "description": "For operators, with the scope `mappings:admin`: see and mend mappings and registrations. To "
        "everybody else these paths are 404.",
    },
    {"name": "Operations", "description": "For whoever runs the service: no token is needed."},
]

ENTRY = (
    "What the portal shows next, told apart by `next_step`. Further steps may be added: show one that you do not know "
    "as an error page."
)

PROBLEM_SCHEMAS: dict[str, Any] = {
    "FieldErrorOut": {
        "description": "A field that was refused.",
        "type": "object",
        "required": ["field", "code", "message"],
        "properties": {
            "field": {
                "description": "Dotted path into the body (`company.address.postal_code`), or the name of a query "
                "parameter; `body` is the whole. The name of an unknown field is repeated where it is a plain word "
                "of up to 64 characters, and `?` otherwise.",
                "type": "string",
                "maxLength": 200,
            },
            "code": {
                "description": "For programs: "
                + ", ".join(f"`{code}`" for code in MESSAGES)
                + ". Further codes may "
                "be added.",
                "type": "string",
            },
            "message": {
                "description": "For people, in the language of `Content-Language`.",
                "type": "string",
            },
        },
    },
    "ProblemOut": {
        "description": "A no (RFC 9457). Programs go by `code`; what each means and asks for is in "
        "openapi/problems.md.",
        "type": "object",
        "required": ["type", "title", "status", "code", "request_id"],
        "properties": {
            "type": {"description": "A URI that ends in the code.", "type": "string"},
            "title": {
                "description": "For people: Indonesian or, where `Accept-Language` prefers it, English.",
                "type": "string",
            },
            "status": {"description": "The HTTP status again.", "type": "integer"},
            "code": {"description": "For programs; never changes.", "type": "string"},
            "detail": {"description": "More for people, where there is more to say.", "type": "string"},
            "request_id": {
                "description": "The answer's `X-Request-Id`: quote it when you report.",
                "type": "string",
            },
            "errors": {
                "description": "The fields that were refused, at most 20: with `validation_failed` and "
                "`mbiz_rejected`.",
                "type": "array",
                "items": {"$ref": "#/components/schemas/FieldErrorOut"},
            },
            "companies": {
                "description": "With `company_choice_required` alone: the free active companies. Send one as "
                "`company_id`.",
                "type": "array",
                "items": {"$ref": "#/components/schemas/OfferedCompanyOut"},
            },
        },
    },
}

OFFERED = [
    {"company_id": "C-2002", "name": "Balai Besar Contoh", "city": "Jakarta Selatan"},
    {"company_id": "C-2003", "name": "Balai Contoh Bandung", "city": "Bandung"},
]
