"""For those who see a narrow screen, hear the page, or have long names: each screen looked at in both widths."""

from collections.abc import Callable
from pathlib import Path

from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from tests.browser.processes import PASSWORD, Demo, Person
from tests.browser.screens import Screens

NewPerson = Callable[..., Person]
SIZES = {"wide": (1280, 800), "narrow": (360, 740)}
MARKUP = "<img src=x onerror=alert(1)><b>PT Tebal</b> & " + "Panjang" * 14
STICKING_OUT = """() => [document.documentElement, ...document.querySelectorAll("dialog")]
    .some((one) => one.scrollWidth > one.clientWidth)"""
SERIOUS = """async () => (await axe.run({ resultTypes: ["violations"] })).violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .flatMap((one) => one.nodes.map((node) => `${one.id} at ${node.html}`))"""


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
            if self.page.evaluate(STICKING_OUT):
                self.faults.append(f"{name}, {size}: wider than the screen")
            self.faults += [f"{name}, {size}: {fault}" for fault in self._axe()]
        self.page.set_viewport_size({"width": 1280, "height": 800})

    def _axe(self) -> list[str]:
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE_SCRIPT)
        faults: list[str] = self.page.evaluate(SERIOUS)
        return faults


def test_every_screen_wide_and_narrow(
    screens: Screens, new_person: NewPerson, demo: Demo, artifacts: Path
) -> None:
    """No serious finding of axe-core, and nothing wider than 360 pixels."""
    inspector = Inspector(screens.page, artifacts)
    look_around(screens, new_person("lost"), demo, inspector.look)
    look_at_profile(screens, new_person(), demo, inspector.look)
    look_at_trouble(screens, new_person(), demo, inspector.look)

    assert 25 == len(inspector.seen)
    assert [] == inspector.faults


def test_names_of_any_length_and_kind(screens: Screens, person: Person, demo: Demo, artifacts: Path) -> None:
    """164 characters, a word without end, markup: all is text, and nothing is wider than 360 pixels."""
    page, faults = screens.page, list[str]()
    page.on("dialog", lambda box: (faults.append("a name ran as a script"), box.dismiss()))
    page.set_viewport_size({"width": 360, "height": 740})
    satker = person.add(demo.long_named)
    demo.account(person.email, MARKUP, f"{MARKUP} 2", name="R" * 150)

    def look(name: str) -> None:
        page.screenshot(path=artifacts / f"nama-{name}.png")
        if page.evaluate(STICKING_OUT):
            faults.append(f"{name}: wider than the screen")
        if page.locator("main img[src=x], dialog img[src=x]").count():
            faults.append(f"{name}: a name became markup")

    screens.sign_in(person, "/belanja/furnitur/pilih")
    screens.title("Pilih satuan kerja")
    look("pilih")
    screens.dialog.get_by_role("button", name=satker["satker_name"]).click()
    screens.title("Kami menemukan akun mbizmarket Anda")
    look("konfirmasi")
    screens.dialog.get_by_label(f"{MARKUP} 2").check()
    screens.button("Ya, gunakan akun ini").click()
    screens.expect_linked(satker, f"{MARKUP} 2")
    look("berhasil")
    screens.enter()
    screens.expect_arrived(person, satker, f"{MARKUP} 2")
    look("mbizmarket")
    for name, path in (
        ("satuan-kerja", ""),
        ("lihat", f"/{satker['id']}"),
        ("hapus", f"/{satker['id']}?hapus=1"),
    ):
        page.goto(f"{demo.portal}/#/profil/satuan-kerja{path}")
        expect(page.get_by_text(MARKUP).first).to_be_visible()
        look(name)
    page.goto(f"{demo.portal}/#/profil/riwayat")
    expect(page.get_by_role("cell", name=f"{MARKUP} 2")).to_be_visible()
    look("riwayat")

    assert [] == faults


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


def look_at_trouble(screens: Screens, person: Person, demo: Demo, look: Callable[[str], None]) -> None:
    """What is empty, what fails, and what ends."""
    page = screens.page
    screens.button("Keluar").click()
    screens.sign_in(person, "/profil/satuan-kerja")
    expect(page.get_by_text("Anda belum memiliki satuan kerja.")).to_be_visible()
    look("satuan-kerja-kosong")
    page.goto(f"{demo.portal}/#/belanja/furnitur/pilih")
    expect(screens.dialog.get_by_role("link", name="Tambah satuan kerja")).to_be_visible()
    look("pilih-kosong")
    satker = person.add()
    demo.account(f"punya+{person.sub}@mbiz.example", "Kantor Terhubung")
    demo.fault("search", "503_before")
    page.goto(f"{demo.portal}/#/belanja/furnitur/satker/{satker['id']}")
    expect(screens.dialog.get_by_role("alert")).to_contain_text("tidak dapat dihubungi")
    look("mbizmarket-mati")
    person.log_in(satker, f"punya+{person.sub}@mbiz.example")
    page.goto(f"{demo.portal}/#/profil/satuan-kerja/{satker['id']}")
    expect(screens.dialog).to_contain_text("Kantor Terhubung")
    look("lihat-terhubung")
    screens.button("Putuskan hubungan").click()
    screens.title("Putuskan hubungan?")
    look("putuskan")
    page.goto(f"{demo.portal}/#/belanja/furnitur/satker/{satker['id']}")
    screens.title("Siap berbelanja")
    look("siap")
    page.evaluate(f"sessionStorage.setItem('portal.token', '{person.token(minutes=-2)}')")
    screens.button("Buka mbizmarket").click()
    expect(page.get_by_role("alert")).to_contain_text("Sesi Anda berakhir.")
    look("masuk-kembali")
