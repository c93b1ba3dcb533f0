"""For everyone: by keyboard alone, for those who hear the page, on a narrow screen; and from which origins at all."""

from collections.abc import Callable
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from tests.browser.processes import PASSWORD, Demo, Person
from tests.browser.screens import Screens

NewPerson = Callable[..., Person]
SIZES = {"wide": (1200, 800), "narrow": (360, 740)}


class Inspector:
    """Looks at a screen in both widths: a picture of each, what axe finds serious, and whether anything sticks out."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.seen: list[str] = []
        self.faults: list[str] = []

    def look(self, name: str) -> None:
        self.seen.append(name)
        for size, (width, height) in SIZES.items():
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.wait_for_function(f"innerWidth === {width}")
            whole = self.page.get_by_role("dialog").count() == 0
            self.page.screenshot(path=self.folder / f"{len(self.seen):02}-{name}-{size}.png", full_page=whole)
            if self.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                self.faults.append(f"{name}, {size}: wider than the screen")
            self.faults += [f"{name}, {size}: {fault}" for fault in self._axe()]
        self.page.set_viewport_size({"width": 1200, "height": 800})

    def _axe(self) -> list[str]:
        violations = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']} at {node['html']}"
            for one in violations
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]


def test_every_screen_wide_and_narrow(
    screens: Screens, new_person: NewPerson, demo: Demo, artifacts: Path
) -> None:
    """No serious finding of axe-core, and nothing wider than 360 pixels."""
    inspector = Inspector(screens.page, artifacts)
    look_around(screens, new_person("lost"), demo, inspector.look)
    look_at_profile(screens, new_person(), demo, inspector.look)

    assert 18 == len(inspector.seen)
    assert [] == inspector.faults


def look_around(screens: Screens, person: Person, demo: Demo, look: Callable[[str], None]) -> None:
    """Belanja, through all its steps."""
    found, asked, other = person.add(), person.add(), person.add()
    demo.account(f"ada+{person.sub}@mbiz.example", "Kantor Satu", "Kantor Dua")
    demo.account(f"milik+{person.sub}@mbiz.example", "Kantor Milik")
    person.log_in(other, f"milik+{person.sub}@mbiz.example")
    screens.page.goto(demo.portal)
    expect(screens.button("Pejabat Pengadaan Demo pp.demo@bela.example PP")).to_be_visible()
    look("masuk")
    screens.sign_in(person)
    look("belanja")
    screens.page.get_by_role("link", name="Furnitur Kantor").click()
    look("kategori")
    screens.button("mbizmarket Belanja di mbizmarket").click()
    screens.title("Pilih satuan kerja")
    look("pilih")
    screens.dialog.get_by_role("button", name=asked["satker_name"]).click()
    screens.title("Apakah Anda sudah pernah melakukan pendaftaran di Mbizmarket?")
    look("pertanyaan")
    screens.answer("Sudah")
    screens.log_in(f"ada+{person.sub}@mbiz.example", "salah sekali")
    expect(screens.error_at("Kata sandi")).to_contain_text("salah")
    look("masuk-salah")
    screens.log_in(f"ada+{person.sub}@mbiz.example", PASSWORD)
    screens.title("Pilih perusahaan")
    look("pilih-perusahaan")
    screens.page.go_back()
    screens.answer("Belum")
    screens.fill_registration(**{"Kode Pos": "99911", "Kata sandi": "lemah"})
    look("daftar")
    screens.button("Daftar").click()
    expect(screens.error_at("Kode Pos")).to_contain_text("belum dilayani")
    look("daftar-ditolak")
    screens.fill_registration()
    demo.fault("find_registration", "lag", seconds=1)
    screens.button("Daftar").click()
    screens.title("Sedang diperiksa")
    look("diperiksa")
    screens.expect_linked(asked, "Dinas Contoh Uji")
    look("berhasil")
    screens.enter()
    screens.expect_arrived(person, asked, "Dinas Contoh Uji")
    look("mbizmarket")
    look_at_confirmation(screens, person, found, demo, look)


def look_at_confirmation(
    screens: Screens, person: Person, satker: dict[str, str], demo: Demo, look: Callable[[str], None]
) -> None:
    account = next(one for one in demo.truth()["accounts"] if one["email"] == person.email)
    assert account["companies"], "the registration left one"
    finder = Person(demo, person.sub, f"punya+{person.sub}@satker.example", name=person.name)
    demo.account(finder.email, "Kantor Kanan", "Kantor Kiri")
    screens.page.go_back()
    screens.page.evaluate(f"sessionStorage.setItem('portal.token', '{finder.token()}')")
    screens.pick({"satker_name": satker["satker_name"]})
    screens.title("Kami menemukan akun mbizmarket Anda")
    look("konfirmasi")
    screens.page.evaluate("sessionStorage.clear()")


def look_at_profile(screens: Screens, person: Person, demo: Demo, look: Callable[[str], None]) -> None:
    """Profil, its dialogs, and Riwayat."""
    for satker in demo.unused[:13]:
        person.add(satker)
    satker = person.add()
    screens.page.goto("about:blank")
    screens.sign_in(person, "/profil/satuan-kerja")
    expect(screens.page.locator(".count")).to_contain_text("dari 13 entri")
    look("satuan-kerja")
    screens.button("Tambah Baru").click()
    screens.choose("K/L/P/D", "", satker["klpd_name"])
    screens.dialog.get_by_role("combobox", name="Satuan Kerja").click()
    expect(screens.dialog.get_by_role("option").first).to_be_visible()
    look("tambah")
    screens.page.keyboard.press("Escape")
    screens.page.keyboard.press("Escape")
    screens.button(f"Lihat {satker['satker_name']}").click()
    screens.title("Satuan Kerja")
    expect(screens.dialog).to_contain_text(satker["satker_name"])
    look("lihat")
    screens.button("Hapus").click()
    screens.title("Hapus satuan kerja?")
    look("hapus")
    screens.button("Batal").click()
    screens.page.get_by_role("link", name="Riwayat").click()
    expect(screens.page.locator("tbody tr").first).to_contain_text("Satuan kerja ditambahkan")
    look("riwayat")


def test_the_whole_way_by_keyboard_alone(screens: Screens, person: Person, demo: Demo) -> None:
    """Signing in, adding a satker, picking it and registering: no mouse, and the focus is never lost."""
    satker = demo.next_satker()
    page, keys = screens.page, screens.page.keyboard
    page.goto(demo.portal)
    tab_to(page, "Pakai token lain")
    keys.press("Enter")
    tab_to(page, "Token (JWT)")
    keys.insert_text(person.token())
    tab_to(page, "Masuk")
    keys.press("Enter")

    tab_to(page, "Profil")
    keys.press("Enter")
    tab_to(page, "Tambah Baru")
    keys.press("Enter")
    for words, name in ((satker["klpd_name"], "K/L/P/D"), (satker["name"][:90], "Satuan Kerja")):
        expect(screens.dialog.get_by_role("combobox", name=name)).to_be_focused()
        keys.insert_text(words)
        expect(screens.dialog.get_by_role("option").first).to_be_visible()
        keys.press("ArrowDown")
        keys.press("Enter")
        expect(screens.dialog.get_by_role("listbox")).to_have_count(0)
        keys.press("Tab")
    expect(screens.button("Simpan")).to_be_focused()
    keys.press("Enter")
    expect(page.get_by_text("Berhasil. Simpan data satker Anda")).to_be_visible()
    expect(page.get_by_role("heading", name="Satuan Kerja Tambahan")).to_be_focused()

    for stop in ("Belanja", "Furnitur Kantor", "mbizmarket Belanja di mbizmarket", satker["name"], "Belum"):
        tab_to(page, stop)
        keys.press("Enter")
    screens.title("Daftar di mbizmarket")
    for label, text in (
        ("Kata sandi", PASSWORD),
        ("Kota atau Kecamatan", "Coblong"),
        ("Kode Pos", "40132"),
        ("Alamat Lengkap", "Jalan Ganesa 10"),
    ):
        tab_to(page, label)
        keys.insert_text(text)
    tab_to(page, "Daftar")
    keys.press("Enter")
    screens.title("Berhasil")
    tab_to(page, "Lanjut ke mbizmarket")
    keys.press("Enter")

    expect(page.get_by_role("heading", name="Selamat datang di mbizmarket")).to_be_visible()


def tab_to(page: Page, name: str) -> None:
    """Presses Tab until what has the focus is called so; it must be found within 40 stops."""
    spoken = "(e) => (e.labels?.[0] ?? e).innerText.trim().replace(/\\s+/g, ' ')"
    picture = "(e) => e.querySelector('img')?.alt ?? ''"
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if not focused.count():
            continue
        text = f"{focused.evaluate(picture)} {focused.evaluate(spoken)}".strip()
        if text == name or text.startswith(f"{name} "):
            return
    raise AssertionError(f"no Tab leads to {name}")


def test_escape_closes_the_list_before_the_dialog(screens: Screens, person: Person) -> None:
    """The first Escape is the list's, the second the dialog's; the focus is back on what opened it."""
    person.add()
    screens.sign_in(person, "/profil/satuan-kerja")
    screens.button("Tambah Baru").click()
    screens.dialog.get_by_role("combobox", name="K/L/P/D").press("ArrowDown")
    expect(screens.dialog.get_by_role("option").first).to_be_visible()

    screens.page.keyboard.press("Escape")
    expect(screens.dialog.get_by_role("option")).to_have_count(0)
    expect(screens.dialog).to_be_visible()
    screens.page.keyboard.press("Escape")

    expect(screens.dialog).to_have_count(0)
    expect(screens.button("Tambah Baru")).to_be_focused()


def test_the_focus_stays_inside_the_dialog(screens: Screens, person: Person) -> None:
    """However often Tab is pressed, nothing behind it is reached."""
    satker = person.add()
    screens.sign_in(person)
    screens.pick(satker)
    screens.answer("Sudah")
    screens.title("Masuk ke mbizmarket")

    for _ in range(15):
        screens.page.keyboard.press("Tab")
        behind = "document.activeElement !== document.body && !document.activeElement.closest('dialog')"
        assert not screens.page.evaluate(behind)


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
