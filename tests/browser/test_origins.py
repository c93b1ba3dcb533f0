"""From which origins the service may be called, and the portal at all."""

from tests.browser.processes import Demo, Person
from tests.browser.screens import Screens


def test_calling_from_another_origin(screens: Screens, person: Person, demo: Demo) -> None:
    """The portal's own origin may call and reads the headers that the contract exposes; any other may not."""
    person.add()
    ask = """async ([address, token]) => {
        const headers = { Authorization: `Bearer ${token}`, "If-None-Match": '"x"' };
        try {
            const answer = await fetch(address, { headers });
            return [answer.status, ...["ETag", "X-Request-Id"].map((name) => answer.headers.has(name))];
        } catch { return "refused"; }
    }"""
    satker = person.call("GET", "/v1/satkers")["items"][0]
    arguments = [f"{demo.api}/v1/satkers/{satker['id']}", person.token()]

    screens.sign_in(person)
    assert [200, True, True] == screens.page.evaluate(ask, arguments)
    screens.page.goto(f"{demo.api}/healthz")  # the service's own origin needs no permission
    assert [200, True, True] == screens.page.evaluate(ask, arguments)
    screens.page.goto(demo.mbiz)
    assert "refused" == screens.page.evaluate(ask, arguments)


def test_the_signing_in_page_answers_to_its_own_name_alone(demo: Demo) -> None:
    """A site whose name is made to lead to this machine reads no token."""
    answer = demo.http.get(f"{demo.portal}/demo.json", headers={"Host": "rebinding.example"})

    assert 421 == answer.status_code
    assert "token" not in answer.text
