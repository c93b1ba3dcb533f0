"""mbizmarket's pages, in Indonesian: where a session's redirect_url leads, and help with a forgotten password."""

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse

from app.mbiz.sandbox.answers import Json
from app.mbiz.sandbox.samples import PASSWORD

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
}

_PAGE = """<!doctype html>
<html lang="id">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} – mbizmarket (uji coba)</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }}
body {{ overflow-wrap: anywhere; }}
dt {{ font-weight: bold; }} dd {{ margin: 0 0 .75rem; }}
aside {{ background: #fff3cd; border: 1px solid #b58900; padding: .5rem 1rem; }}
</style>
</head>
<body>
<aside>Ini tiruan mbizmarket untuk uji coba, bukan mbizmarket yang sebenarnya.</aside>
<h1>{title}</h1>
{content}
</body>
</html>
"""


def welcome_page(arrival: Json) -> HTMLResponse:
    account, company, payload = arrival["account"], arrival["company"], arrival["payload"]
    rows = {
        "Pejabat": payload.get("realName") or payload.get("userName") or account["name"],
        "Peran": payload.get("role"),
        "Akun mbizmarket": account["email"],
        "Perusahaan": f"{company['name']}, {company['address']['city']}",
        "Satuan kerja": payload.get("namaSatker") or payload.get("idSatker"),
        "Instansi": payload.get("namaInstansi") or payload.get("idInstansi"),
        "Kategori": payload.get("category"),
    }
    shown = "\n".join(
        f"<dt>{label}</dt><dd>{_text(value) if value else 'tidak disebutkan'}</dd>"
        for label, value in rows.items()
    )
    return _page(200, "Selamat datang di mbizmarket", f"<dl>\n{shown}\n</dl>")


def _text(value: object) -> str:
    """For a page. JSON can escape half a character, and no UTF-8 exists for it."""
    return escape(str(value).encode(errors="replace").decode())


def gone_page() -> HTMLResponse:
    explanation = (
        "<p>Tautan ini hanya dapat dipakai satu kali, dalam satu menit."
        " Silakan kembali ke portal dan coba lagi.</p>"
    )
    return _page(410, "Tautan tidak berlaku lagi", explanation)


async def forgotten(_request: Request) -> HTMLResponse:
    """No password can be changed here; the page says which one the sample accounts have."""
    explanation = (
        "<p>Di mbizmarket yang sebenarnya, kata sandi diganti di sini. Semua akun contoh memakai kata sandi"
        f" <strong>{escape(PASSWORD)}</strong>.</p>"
    )
    return _page(200, "Lupa kata sandi", explanation)


def _page(status: int, title: str, content: str) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=title, content=content), status, _HEADERS)
