"""The demo as `make run` starts it, on ports of its own, and what the tests need beside the screens."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from jose import jwt

KEY = "k" * 48
PASSWORD = "Rahasia-123"


@dataclass
class Demo:
    """The addresses of the three, and a catalog of which each satker is handed out once."""

    api: str
    mbiz: str
    portal: str
    http: httpx.Client
    unused: list[dict[str, Any]] = field(default_factory=list)
    long_named: dict[str, Any] = field(default_factory=dict)

    def next_satker(self) -> dict[str, Any]:
        return self.unused.pop()

    def fault(self, call: str, fault: str, **more: Any) -> None:
        self._post("/sandbox/faults", {"call": call, "fault": fault, **more})

    def clear_faults(self) -> None:
        self.http.delete(f"{self.mbiz}/sandbox/faults").raise_for_status()

    def account(self, email: str, *companies: str, **more: Any) -> dict[str, Any]:
        """An account at mbizmarket with a company of each of these names."""
        offices = [{"name": name, "city": "Bandung"} for name in companies]
        name = more.pop("name", "Budi Santoso")
        body = {"email": email, "password": PASSWORD, "name": name, "companies": offices, **more}
        return self._post("/sandbox/accounts", body)

    def close(self, company_id: str) -> None:
        self._post(f"/sandbox/companies/{company_id}", {"status": "inactive"})

    def truth(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get(f"{self.mbiz}/sandbox/truth").raise_for_status().json()
        return answer

    def accounts_of(self, email: str) -> int:
        return sum(account["email"] == email for account in self.truth()["accounts"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.post(f"{self.mbiz}{path}", json=body).raise_for_status().json()
        return answer


@dataclass
class Person:
    """A PP of the portal, with shortcuts past the screens for what a test only starts from."""

    demo: Demo
    sub: str
    email: str
    verified: bool = True
    name: str = "Pejabat Uji"

    def token(self, minutes: float = 30) -> str:
        now = int(time.time())
        claims = {
            "iss": "bela-demo",
            "aud": "satu-pp-multi-satker",
            "iat": now,
            "exp": now + int(minutes * 60),
            "sub": self.sub,
            "role": "PP",
            "email": self.email,
            "email_verified": self.verified,
            "name": self.name,
            "preferred_username": self.sub,
            "phone": "+62 812 3456 7890",
        }
        return str(jwt.encode(claims, KEY, algorithm="HS256"))

    def call(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token()}"}
        answer = self.demo.http.request(method, f"{self.demo.api}{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def add(self, catalog: dict[str, Any] | None = None) -> dict[str, Any]:
        """One more satker on the list: this one, or one that no test has used."""
        satker = catalog or self.demo.next_satker()
        added: dict[str, Any] = self.call("POST", "/v1/satkers", {"catalog_id": satker["catalog_id"]})
        return added

    def status(self, satker: dict[str, Any]) -> str:
        return str(self.call("GET", f"/v1/satkers/{satker['id']}/mapping")["status"])

    def log_in(self, satker: dict[str, Any], email: str) -> None:
        body = {"email": email, "password": PASSWORD}
        self.call("POST", f"/v1/satkers/{satker['id']}/mapping/login", body)

    def register(self, satker: dict[str, Any]) -> None:
        body = {
            "email": self.email,
            "password": PASSWORD,
            "contact_name": self.name,
            "phone": "0812-3456-7890",
            "company": {
                "name": "Kantor Rekan",
                "address": {"street": "Jalan Ganesa 10", "city": "Bandung", "postal_code": "40132"},
            },
        }
        self.call("POST", f"/v1/satkers/{satker['id']}/mapping/register", body)


@contextmanager
def running(folder: Path) -> Iterator[Demo]:
    """The demo until the block ends. Short deadlines, so that waiting for mbizmarket takes no test long."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "secrets").write_text("\n".join((secrets.token_urlsafe(48), KEY, secrets.token_urlsafe(48))))
    api, mbiz, portal = _free_port(), _free_port(), _free_port()
    ports = ["--port", str(api), "--sandbox-port", str(mbiz), "--portal-port", str(portal)]
    settings = {
        "MBIZ_DEADLINE_SECONDS": "3",
        "ATTEMPT_LEASE_SECONDS": "3",
        "SETTLE_GRACE_SECONDS": "0",
        "DATABASE_URL": f"sqlite+aiosqlite:///{folder}/satker.db",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "demo", *ports, "--folder", str(folder)],
        env=os.environ | settings,
        stdout=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(timeout=10, trust_env=False) as http:
            base = "http://127.0.0.1"
            demo = Demo(f"{base}:{api}", f"{base}:{mbiz}", f"{base}:{portal}", http)
            _await(process, demo)
            _import_more(folder, settings)
            demo.unused = _catalog(demo)
            demo.long_named = max(demo.unused, key=lambda one: len(one["name"]))
            demo.unused.remove(demo.long_named)
            yield demo
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(process: subprocess.Popen[bytes], demo: Demo) -> None:
    """The portal is the last to listen."""
    for _ in range(1800):
        assert process.poll() is None, "the demo ended by itself"
        try:
            demo.http.get(f"{demo.portal}/demo.json").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the portal did not come up")


def _import_more(folder: Path, settings: dict[str, str]) -> None:
    """Satkers enough for all tests, each of which may link some; those of the sample catalog are used first."""
    head = "kd_satker,kd_satker_str,nama_satker,kd_klpd,nama_klpd,jenis_klpd,status_satker,tahun_aktif"
    lines = [
        f"{n},9{n},KANTOR PELAYANAN {n},A1,BADAN PERCOBAAN,LEMBAGA,Aktif,2026" for n in range(80100, 80190)
    ]
    long = "BALAI BESAR PENGEMBANGAN PENJAMINAN MUTU DAN PERTANGGUNGJAWABAN ".ljust(164, "X")
    lines.append(f"80190,980190,{long},A1,BADAN PERCOBAAN,LEMBAGA,Aktif,2026")
    file = folder / "more.csv"
    file.write_text("\n".join([head, *lines]))
    subprocess.run(
        [sys.executable, "-m", "app", "import-satkers", str(file)],
        env=os.environ | settings,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _catalog(demo: Demo) -> list[dict[str, Any]]:
    """Satkers whose names stand for themselves, of every K/L/P/D."""
    reader = Person(demo, "pp-reader", "reader@satker.example")
    satkers = [
        satker
        for klpd in reader.call("GET", "/v1/klpd?limit=100")["items"]
        for satker in reader.call("GET", f"/v1/klpd/{klpd['code']}/satkers?limit=100")["items"]
    ]
    names = [satker["name"] for satker in satkers]
    return [one for one in satkers if 1 == sum(name.startswith(one["name"]) for name in names)]
