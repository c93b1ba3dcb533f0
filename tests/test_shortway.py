"""The short way and the long way: the same answers, and whatever is not plain goes the long one."""

from typing import Any

import httpx
import pytest
from app.budgets import Memory
from app.mapping import routes as mapping
from app.satker import routes as satker
from app.shortway import ROUTES, ShortWay
from fastapi.routing import APIRoute
from sqlalchemy import text

from tests.canary import PASSWORD
from tests.service import Service, pp, token

pytestmark = pytest.mark.anyio


def go_the_long_way(service: Service) -> None:
    """From now on there is no short way."""
    app = service.app
    app.user_middleware = [one for one in app.user_middleware if one.cls is not ShortWay]
    app.middleware_stack = app.build_middleware_stack()


@pytest.fixture
async def satkers(service: Service) -> list[str]:
    """One that is mapped, one that another PP has mapped, one that is unmapped."""
    await service.make_account("budi@lain.example", "PT Budi")
    await service.make_account("tuti@lain.example", "PT Tuti")
    found = [await service.add(catalog_id) for catalog_id in service.catalog[:3]]
    theirs = await service.add(service.catalog[1], headers=pp(2))
    for own, email, who in ((found[0], "budi", {}), (theirs, "tuti", pp(2))):
        body = {"email": f"{email}@lain.example", "password": PASSWORD}
        path = f"/v1/satkers/{own}/mapping/login"
        assert 201 == (await service.http.post(path, json=body, headers=who)).status_code
    return [*found, theirs]


async def test_both_ways_answer_alike(service: Service, satkers: list[str]) -> None:
    """Status, bytes and headers of every kind of answer, but for what is of the request alone."""
    paths = ["/v1/satkers", *(f"/v1/satkers/{one}" for one in (*satkers, "nobody", "%00", "a%0A"))]
    paths += [f"{path}/mapping" for path in paths[1:]]
    short = [seen(await service.http.get(path)) for path in paths]
    go_the_long_way(service)
    long = [seen(await service.http.get(path)) for path in paths]
    assert long == short
    assert {200, 404} == {status for status, *_ in short}


async def test_both_ways_without_a_database(service: Service, satkers: list[str]) -> None:
    """503 database_unavailable, whichever way."""
    async with service.database.begin() as tx:
        await tx.execute(text("ALTER TABLE access RENAME TO away"))
    paths = ["/v1/satkers", f"/v1/satkers/{satkers[0]}", f"/v1/satkers/{satkers[0]}/mapping"]
    short = [seen(await service.http.get(path)) for path in paths]
    go_the_long_way(service)
    assert [seen(await service.http.get(path)) for path in paths] == short
    assert [503] * 3 == [status for status, *_ in short]


def seen(answer: httpx.Response) -> tuple[int, Any, dict[str, str]]:
    body = answer.content
    if answer.is_error:
        body = {name: value for name, value in answer.json().items() if name != "request_id"}
    of_the_request = ("x-request-id", "ratelimit")
    return (
        answer.status_code,
        body,
        {name: value for name, value in answer.headers.items() if name not in of_the_request},
    )


BODIES = {
    "already so": b'{"email": "budi@lain.example", "password": "%s"}' % PASSWORD.encode(),
    "wrong": b'{"email": "budi@lain.example", "password": "salah"}',
    "no choice": b'{"email": "budi@lain.example", "password": "%s", "company_id": "C-0"}' % PASSWORD.encode(),
    "no JSON": b'{"email": ',
    "nothing": b"",
    "a list": b"[]",
    "a field less": b'{"email": "budi@lain.example"}',
    "a field more": b'{"email": "budi@lain.example", "password": "x", "role": "PP"}',
    "no e-mail": b'{"email": "budi", "password": ""}',
    "another type": b'{"email": 1, "password": null}',
    "half a letter": b'{"email": "budi@lain.example", "password": "\\ud800"}',
    "a field twice": b'{"email": 1, "email": "budi@lain.example", "password": "x", "password": "salah"}',
    "with a mark": b'\xef\xbb\xbf{"email": "budi@lain.example", "password": "salah"}',
}


async def test_both_ways_of_logging_in(service: Service, satkers: list[str]) -> None:
    """Whatever is sent, to a satker of one's own and to another's."""
    paths = [f"/v1/satkers/{one}/mapping/login" for one in (satkers[0], "nobody")]
    headers = {"Content-Type": "application/json"}

    async def say_all() -> list[Any]:
        service.context.throttle._storage = Memory()
        answers = [
            await service.http.post(path, content=body, headers=headers)
            for path in paths
            for body in BODIES.values()
        ]
        return [seen(answer) for answer in answers]

    short = await say_all()
    go_the_long_way(service)
    assert await say_all() == short
    assert {200, 400, 404, 409, 422} >= {status for status, *_ in short} >= {200, 404, 422}


async def test_what_is_not_plain_goes_the_long_way(service: Service, satkers: list[str]) -> None:
    """A query is judged, a condition is honoured, another method is another call, a slash too many is no path."""
    path = f"/v1/satkers/{satkers[0]}"
    for one in ("/v1/satkers", path, f"{path}/mapping"):
        refused = await service.http.get(f"{one}?x=1")
        assert (422, "unknown_field") == (refused.status_code, refused.json()["errors"][0]["code"])
        assert 404 == (await service.http.get(f"{one}/")).status_code
    assert 1 == (await service.http.get("/v1/satkers?size=1")).json()["size"]
    etag = (await service.http.get(path)).headers["ETag"]
    unchanged = await service.http.get(path, headers={"If-None-Match": etag})
    assert (304, b"") == (unchanged.status_code, unchanged.content)
    assert 405 == (await service.http.put(f"{path}/mapping", json={})).status_code


async def test_the_short_way_is_behind_the_gate(service: Service, satkers: list[str]) -> None:
    """No token, another role, another PP: as on any other path."""
    path = f"/v1/satkers/{satkers[0]}"
    for one in ("/v1/satkers", path, f"{path}/mapping"):
        assert 401 == (await service.http.get(one, headers={"Authorization": "Bearer x"})).status_code
        other_role = {"Authorization": f"Bearer {token(role='PENYEDIA')}"}
        assert 403 == (await service.http.get(one, headers=other_role)).status_code
    assert [404, 404] == [
        (await service.http.get(one, headers=pp(2))).status_code for one in (path, f"{path}/mapping")
    ]


def test_the_short_ways_are_the_long_ways() -> None:
    """Each is the very function that the published route of that path calls."""
    published = {
        (method, route.path): route.endpoint
        for module in (satker, mapping)
        for route in module.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    for short in ROUTES.values():
        assert short.answer is published[short.method, short.path]
