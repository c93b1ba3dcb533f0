"""The service against its own document: requests that fit it and requests that do not, with and without a token.

    python -m tests.fuzz --cases 20000 --seed 7

Every answer must be as published (tests/described.py) and none may be a 500. Half of the requests name what is there:
satkers, catalog entries, companies, an account; the others whatever schemathesis thinks of.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import schemathesis
import structlog
from app.main import document
from app.startup import migrate_database
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode

from tests.canary import PASSWORD
from tests.conftest import fill_catalog
from tests.service import Service, bearer, registration, running

PEOPLE = 40  # PPs with a satker each, so that nobody's budget of failures is soon spent
ACCOUNT = "budi@lain.example"

Seen = Counter[tuple[str, int]]  # operations and the statuses they answered


class Target:
    """The service with something in it, called from outside of its event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._ids: dict[str, list[str]] = {}
        self.seen: Seen = Counter()

    def __enter__(self) -> "Target":
        url = f"sqlite+aiosqlite:///{self._folder}/satker.db"
        migrate_database(url)
        self._runner.run(self._fill(url))
        return self

    def __exit__(self, *_error: object) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()

    async def _fill(self, url: str) -> None:
        self._service: Service = await self._stack.enter_async_context(running(url, self._folder))
        self._service.catalog = await fill_catalog(self._service.database)
        account = await self._service.make_account(ACCOUNT, "PT Budi", "PT Dua")
        self._companies = [company["company_id"] for company in account["companies"]]
        self._tokens = [
            bearer(sub=f"pp-{n}", email=f"pp{n}@satker.example", scope="mappings:admin")
            for n in range(PEOPLE)
        ]
        self._satkers = [""] * PEOPLE
        for number in range(PEOPLE):
            await self._restock(number)
        await self._link()

    async def _restock(self, number: int) -> None:
        """A satker of this PP to name, whatever was deleted."""
        http, headers = self._service.http, self._tokens[number]
        body = {"catalog_id": self._service.catalog[number % 12]}
        listed = (await http.get("/v1/satkers", headers=headers)).json()["items"]
        satker = listed[0] if listed else (await http.post("/v1/satkers", json=body, headers=headers)).json()
        self._satkers[number] = satker["id"]

    async def _link(self) -> None:
        """One mapping and one registration whose outcome is uncertain, for the operators' paths."""
        http, headers = self._service.http, self._tokens[0]
        login = {"email": ACCOUNT, "password": PASSWORD, "company_id": self._companies[0]}
        await http.post(f"/v1/satkers/{self._satkers[0]}/mapping/login", json=login, headers=headers)
        form = registration("lost@lain.example")
        await http.post(
            f"/v1/satkers/{self._satkers[1]}/mapping/register", json=form, headers=self._tokens[1]
        )
        for name in ("mappings", "attempts"):
            items = (await http.get(f"/v1/admin/{name}", headers=headers)).json()["items"]
            self._ids[name] = [item["id"] for item in items]

    def send(self, case: Case[Any], *, with_token: bool, choice: random.Random | None) -> httpx.Response:
        """`choice` puts names of what is there in place of made-up ones."""
        number = choice.randrange(PEOPLE) if choice else 0
        if choice:
            real = self._real(number, choice)
            case.path_parameters = {**case.path_parameters, **_known(case.path_parameters, real)}
            if isinstance(case.body, dict):
                case.body = {**case.body, **_known(case.body, real)}
        request = _request(case)
        if with_token:
            request["headers"] |= self._tokens[number]
        answer = self._runner.run(self._service.http.request(**request))
        assert answer.status_code != 500, f"{request} {answer.text}"
        self.seen[f"{case.operation.method.upper()} {case.operation.path}", answer.status_code] += 1
        if (case.operation.method.upper(), answer.status_code) == ("DELETE", 204):
            self._runner.run(self._restock(number))
        return answer

    def _real(self, number: int, choice: random.Random) -> dict[str, str]:
        return {
            "satker_id": self._satkers[number],
            "catalog_id": choice.choice(self._service.catalog),
            "company_id": choice.choice(self._companies),
            "code": choice.choice(["K1", "L2", "D3"]),
            "email": choice.choice([ACCOUNT, f"baru{choice.randrange(10**9)}@lain.example"]),
            "password": PASSWORD,
            "mapping_id": choice.choice(self._ids["mappings"]),
            "attempt_id": choice.choice(self._ids["attempts"]),
            "pp_id": "pp-0",
        }


def _known(given_: Mapping[str, Any], real: Mapping[str, str]) -> dict[str, str]:
    return {name: real[name] for name in given_ if name in real}


def _request(case: Case[Any]) -> dict[str, Any]:
    """In httpx' words. Headers that no client could send are left out; lone surrogates stay as JSON spells them."""
    made = case.as_transport_kwargs(base_url="http://api")
    content = made.get("data")
    if "json" in made:
        content = json.dumps(made["json"])
    headers = {
        name: value
        for name, value in made["headers"].items()
        if name.isascii() and str(value).isascii() and str(value).isprintable()
    }
    headers.pop("Accept-Encoding", None)
    params = [(name, one) for name, value in (made.get("params") or {}).items() for one in _several(value)]
    return {
        "method": made["method"],
        "url": made["url"],
        "params": params,
        "headers": headers,
        "content": content.encode() if isinstance(content, str) else content,
    }


def _several(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(each).encode("utf-8", "replace").decode() for each in values]


def fuzz(target: Target, cases: int, seed: int) -> None:
    """About so many requests, spread over all operations. Raises AssertionError at the first answer that is wrong."""
    operations = [found.ok() for found in schemathesis.openapi.from_dict(document()).get_all_operations()]
    ways = [
        (operation, mode)
        for operation in operations
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        if mode is GenerationMode.POSITIVE or operation.body or operation.query or operation.path_parameters
    ]
    for operation, mode in ways:
        _fuzz_one(target, operation.as_strategy(generation_mode=mode), max(1, cases // len(ways)), seed)


def _fuzz_one(target: Target, strategy: st.SearchStrategy[Case[Any]], cases: int, seed: int) -> None:
    @seeded(seed)
    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
    )
    @given(case=strategy, way=st.integers(0, 4), choice=st.randoms(use_true_random=False))
    def send(case: Case[Any], way: int, choice: random.Random) -> None:
        target.send(case, with_token=way > 0, choice=choice if way > 2 else None)

    run: Callable[[], None] = send
    run()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    sys.stdout.write(f"seed {arguments.seed}\n")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Target(Path(folder)) as target:
        fuzz(target, arguments.cases, arguments.seed)
    by_operation: dict[str, Counter[int]] = {}
    for (operation, status), count in sorted(target.seen.items()):
        by_operation.setdefault(operation, Counter())[status] = count
    for operation, statuses in by_operation.items():
        sys.stdout.write(f"{operation:55} {' '.join(f'{s}:{n}' for s, n in statuses.items())}\n")
    sys.stdout.write(
        f"{target.seen.total()} requests in {time.monotonic() - began:.0f} s, all as published\n"
    )


if __name__ == "__main__":
    main()
