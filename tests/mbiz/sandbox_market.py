"""A sandbox to talk to, in process or behind a real socket."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from app.mbiz.sandbox import Sandbox, create_sandbox

from tests.mbiz.partner_document import validate_answer

CLIENT = ("bela", "secret-new")
PASSWORD = "Rahasia-123"
PUBLIC_URL = "http://mbiz.test"

FORM: dict[str, Any] = {
    "email": "siti@satker.example",
    "password": "kata sandi 🔑 “aneh”",
    "contact_name": "Siti Aminah",
    "phone": "+62 812-3456-7890",
    "company": {
        "name": "Balai Contoh Bandung",
        "address": {"street": "Jalan Contoh 5", "city": "Bandung", "postal_code": "40115"},
    },
}


def make_sandbox(folder: Path, **options: Any) -> Sandbox:
    return create_sandbox(
        folder / "mbizmarket.db",
        client_id=CLIENT[0],
        client_secret=f"secret-old, {CLIENT[1]}",
        public_url=PUBLIC_URL,
        **options,
    )


class Market:
    """A partner's client. Unless it `expects_faults`, it holds every partner answer against the document."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.expects_faults = False
        http.event_hooks["response"].append(self._check)

    async def _check(self, response: httpx.Response) -> None:
        request = response.request
        assert response.headers["X-Sandbox"] == "mbizmarket-sandbox"
        if not self.expects_faults and request.url.path.startswith(("/v1/", "/oauth/")):
            await response.aread()
            validate_answer(
                request.method, request.url.path, response.status_code, response.json(), exact=True
            )

    async def authorize(self) -> None:
        answer = await self.http.post("/oauth/token", auth=CLIENT, data={"grant_type": "client_credentials"})
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    async def search(self, email: str) -> httpx.Response:
        return await self.http.post("/v1/accounts/search", json={"email": email})

    async def log_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return await self.http.post("/v1/login", json={"email": email, "password": password})

    async def register(self, reference: str = "ref-1", **changes: Any) -> httpx.Response:
        return await self.http.post(
            "/v1/registrations",
            content=json.dumps({"reference": reference} | FORM | changes),  # httpx's own cannot say "\ud800"
            headers={"Idempotency-Key": reference},
        )

    async def find(self, reference: str = "ref-1") -> httpx.Response:
        return await self.http.get(f"/v1/registrations/{reference}")

    async def company(self, company_id: str = "C-2001") -> httpx.Response:
        return await self.http.get(f"/v1/companies/{company_id}")

    async def open_session(
        self, account_id: str = "A-1001", company_id: str = "C-2001", **payload: str
    ) -> httpx.Response:
        body = {"account_id": account_id, "company_id": company_id, "payload": payload}
        return await self.http.post("/v1/sessions", json=body)

    async def control(self, method: str, path: str, body: Any = None) -> httpx.Response:
        answer = await self.http.request(method, f"/sandbox{path}", json=body)
        answer.raise_for_status()
        return answer

    async def fault(self, call: str, fault: str, **more: float) -> None:
        self.expects_faults = True
        await self.control("POST", "/faults", {"call": call, "fault": fault} | more)

    async def truth(self) -> dict[str, Any]:
        truth: dict[str, Any] = (await self.control("GET", "/truth")).json()
        return truth


@contextlib.asynccontextmanager
async def open_market(sandbox: Sandbox) -> AsyncIterator[Market]:
    transport = httpx.ASGITransport(app=sandbox)
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL) as http:
        market = Market(http)
        await market.authorize()
        yield market


@contextlib.asynccontextmanager
async def open_market_at(url: str) -> AsyncIterator[Market]:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as http:
        market = Market(http)
        await market.authorize()
        yield market


@contextlib.contextmanager
def served(sandbox: Sandbox, **flavour: Any) -> Iterator[str]:
    """The sandbox under uvicorn, in a thread of its own; gives its address. `flavour` goes to uvicorn."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        quiet: dict[str, Any] = {
            "log_config": None,
            "lifespan": "off",
            "ws": "none",
            "timeout_graceful_shutdown": 1,
        }
        config = uvicorn.Config(sandbox, **quiet, **flavour)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def wait_until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
