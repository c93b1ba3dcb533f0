"""The docs page as an integrator meets it on a closed network: no host but this machine can be reached."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.processes import Demo, Person


@pytest.fixture
def docs(context: BrowserContext, demo: Demo) -> Iterator[Page]:
    """The page; whatever the policy of the page or the browser complains about fails the test."""
    page = context.new_page()
    complaints: list[str] = []
    hosts: set[str | None] = set()

    def hear(kind: str, text: str) -> None:
        if kind in ("error", "warning") and "status of 401" not in text:  # a refusal is an answer
            complaints.append(text)

    page.on("console", lambda line: hear(line.type, line.text))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    page.goto(f"{demo.api}/docs")
    yield page
    assert ([], {"127.0.0.1"}) == (complaints, hosts)


def operation(docs: Page, name: str, tag: str) -> Locator:
    return docs.locator(f"#operations-{tag}-{name}")


def authorize(docs: Page, token: str) -> None:
    docs.get_by_role("button", name="Authorize").first.click()
    dialog = docs.locator(".modal-ux")
    dialog.locator("input").fill(token)
    dialog.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close").last.click()


def executed(block: Locator) -> Locator:
    block.get_by_role("button", name="Execute").click()
    return block.locator(".live-responses-table tbody tr").first


def test_reading_the_guide(docs: Page, artifacts: Path) -> None:
    """It comes before the operations, and these come in the order of the flow."""
    guide = docs.locator(".info")
    expect(guide.get_by_role("heading", name="The flow")).to_be_visible()
    steps = guide.locator("td:first-child code").all_text_contents()
    assert ["open_mbizmarket", "confirm_account", "ask_registered", "log_in", "wait"] == steps
    tags = docs.locator(".opblock-tag")
    expect(tags).to_have_count(6)
    names = [tag.get_attribute("data-tag") for tag in tags.all()]
    assert ["Katalog", "Satker", "Mapping", "Riwayat", "Operator", "Operations"] == names
    docs.screenshot(path=artifacts / "docs.png", full_page=True)


def test_trying_a_call_out(docs: Page, demo: Demo, person: Person) -> None:
    """Without a token it is 401; after "Authorize" the same click answers, from the service that serves the page."""
    docs.get_by_text("Find a K/L/P/D", exact=True).click()
    block = operation(docs, "listKlpd", "Katalog")
    refused = executed(block)
    expect(refused.locator(".response-col_status")).to_contain_text("401")
    expect(refused).to_contain_text("unauthenticated")
    authorize(docs, person.token())
    block.get_by_placeholder("q", exact=True).fill("pelayaran")
    answered = executed(block)
    expect(answered.locator(".response-col_status")).to_contain_text("200")
    expect(answered).to_contain_text("KEMENTERIAN PELAYARAN RAKYAT")
    expect(block.locator(".request-url")).to_contain_text(f"{demo.api}/v1/klpd?q=pelayaran")


def test_trying_to_register(docs: Page, demo: Demo, person: Person) -> None:
    """The example of the body is one that works: only the satker and the e-mail have to be one's own."""
    satker = person.add()
    authorize(docs, person.token())
    docs.get_by_text("Register at mbizmarket and map (Belum)", exact=True).click()
    block = operation(docs, "registerAndMap", "Mapping")
    block.get_by_placeholder("satker_id").fill(satker["id"])
    body = block.locator("textarea.body-param__text")
    body.fill(body.input_value().replace("dewi@satker.example", person.email))
    answered = executed(block)
    expect(answered.locator(".response-col_status")).to_contain_text("201")
    expect(answered).to_contain_text('"via": "register"')
    assert "mapped" == person.status(satker)
    assert 1 == demo.accounts_of(person.email)


def test_leaving_the_page(docs: Page, person: Person) -> None:
    """The token is kept nowhere in the browser."""
    authorize(docs, person.token())
    kept = docs.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert '[{},{},""]' == kept
