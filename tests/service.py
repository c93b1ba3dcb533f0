"""The service under test over its ASGI interface, with a sandbox mbizmarket at the other end of its adapter."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
from app.db import Database
from app.main import create_app
from app.mapping.context import Context
from app.mbiz.sandbox import create_sandbox
from app.settings import Settings
from fastapi import FastAPI
from jose import jwt
from sqlalchemy import event

from tests.canary import APP_SECRET, PASSWORD
from tests.described import Described

KEY = "k" * 40
PP = {
    "sub": "pp-1",
    "role": "PP",
    "email": "pp1@satker.example",
    "email_verified": True,
    "name": "Pejabat Satu",
    "preferred_username": "pejabat1",
    "phone": "0812345678",
    "lpse_id": "119",
}


def settings_for(database_url: str, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "database_url": database_url,
        "app_env": "development",
        "app_secret": APP_SECRET,
        "mbiz_url": "http://127.0.0.1:9",
        "mbiz_client_id": "satu-pp",
        "mbiz_client_secret": "client-secret",
        "mbiz_forgot_password_url": "https://mbiz.example/lupa",
        "mbiz_deadline_seconds": 5,
        "settle_grace_seconds": 0,
        "calls_per_minute": 1_000_000,
        "bela_issuer": "bela",
        "bela_audience": "satu-pp",
        "bela_jwt_key": KEY,
        "bela_jwt_algorithm": "HS256",
        **changes,
    }
    return Settings(_env_file=None, **values)  # type: ignore[call-arg]


def token(**claims: Any) -> str:
    """A good token for PP 1, changed by `claims`; one that is None is left out."""
    now = int(time.time())
    whole = {"iss": "bela", "aud": "satu-pp", "iat": now, "exp": now + 600, **PP, **claims}
    return cast(str, jwt.encode({k: v for k, v in whole.items() if v is not None}, KEY, algorithm="HS256"))


def bearer(**claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(**claims)}"}


def pp(number: int) -> dict[str, str]:
    """The headers of another PP, with an e-mail of their own."""
    return bearer(sub=f"pp-{number}", email=f"pp{number}@satker.example")


@dataclass
class Service:
    """`http` calls the service as PP 1; `mbiz` calls the sandbox's control API."""

    app: FastAPI
    context: Context
    http: httpx.AsyncClient
    mbiz: httpx.AsyncClient
    catalog: list[str] = field(default_factory=list)

    @property
    def database(self) -> Database:
        return self.context.database

    async def add(self, catalog_id: str, **request: Any) -> str:
        answer = await self.http.post("/v1/satkers", json={"catalog_id": catalog_id}, **request)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def truth(self) -> dict[str, Any]:
        """mbizmarket's own accounts and registrations."""
        return cast(dict[str, Any], (await self.mbiz.get("/sandbox/truth")).json())

    async def make_account(
        self,
        email: str,
        *companies: str,
        password: str = PASSWORD,
        **more: Any,
    ) -> Any:
        body = {
            "email": email,
            "password": password,
            "name": "Nama Akun",
            "companies": [{"name": name, "city": "Bandung"} for name in companies],
            **more,
        }
        answer = await self.mbiz.post("/sandbox/accounts", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def fault(self, call: str, fault: str, **more: Any) -> None:
        answer = await self.mbiz.post("/sandbox/faults", json={"call": call, "fault": fault, **more})
        assert answer.is_success, answer.text


@asynccontextmanager
async def running(database_url: str, folder: Path, **changes: Any) -> AsyncIterator[Service]:
    """The service on this database, with a new sandbox in `folder`."""
    market = create_sandbox(folder / "mbizmarket.db", client_id="satu-pp", client_secret="client-secret")
    wire = httpx.ASGITransport(market)
    app = create_app(settings_for(database_url, **changes), mbiz_transport=wire)
    async with (
        httpx.AsyncClient(
            transport=Described(httpx.ASGITransport(app)), base_url="http://api", headers=bearer()
        ) as http,
        httpx.AsyncClient(transport=wire, base_url="http://127.0.0.1:9") as mbiz,
        app.router.lifespan_context(app),
    ):
        yield Service(app, app.state.context, http, mbiz)


def statements_of(service: Service) -> list[str]:
    """What is sent to the database from now on, by SQLAlchemy or past it."""
    seen: list[str] = []
    engine = service.database.engine.sync_engine
    if service.database.is_sqlite:
        event.listen(engine, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
    else:

        def note(logged: Any) -> None:
            seen.append(logged.query)

        def overhear(connection: Any, *_rest: object) -> None:
            connection.driver_connection.add_query_logger(note)  # however often, it is told once

        event.listen(engine, "checkout", overhear)
    return seen


def registration(email: str = "baru@satker.example", **changes: Any) -> dict[str, Any]:
    """A complete registration, as the front end sends it."""
    return {
        "email": email,
        "password": PASSWORD,
        "contact_name": "Budi Santoso",
        "phone": "+62 812-3456-7890",
        "company": {
            "name": "Dinas Contoh",
            "address": {"street": "Jalan Merdeka 1", "city": "Bandung", "postal_code": "40111"},
        },
        **changes,
    }
