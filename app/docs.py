"""The published document and the page that explains it: all files are our own, since government networks are closed."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

PAGE = Path(__file__).parent / "published" / "page"
FILES = "/static-offline-docs"  # ours, and Swagger UI's as fastapi-offline brings them


def document_of(app: FastAPI) -> dict[str, Any]:
    """Costs a tenth of a second and some megabytes, so only who asks for it pays."""
    from app.published.document import published

    return published(app)


def serve(app: FastAPI) -> None:
    """Adds /docs, its files and /openapi.json."""

    @cache
    def written() -> bytes:
        return json.dumps(document_of(app), ensure_ascii=False, separators=(",", ":")).encode()

    def openapi_json() -> Response:  # not async: in a thread, where it holds up no request
        return Response(written(), media_type="application/json")

    def page() -> Response:
        return FileResponse(PAGE / "index.html")

    app.add_api_route("/openapi.json", openapi_json, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/docs", page, methods=["GET"], include_in_schema=False)
    app.mount(FILES, StaticFiles(directory=PAGE, packages=[("fastapi_offline", "static")]))
