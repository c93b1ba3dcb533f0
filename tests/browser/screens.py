"""The portal's screens, by the words that people see and hear. A locator waits for what it names."""

from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.processes import Demo, Person

CATEGORY = "Furnitur Kantor"
FORM = {
    "Kata sandi": "Rahasia-123",
    "Nama Perusahaan/Institusi/Toko": "Dinas Contoh Uji",
    "Nama kontak": "Budi Santoso",
    "Nomor telepon": "0812-3456-7890",
    "Kota atau Kecamatan": "Coblong",
    "Kode Pos": "40132",
    "Alamat Lengkap": "Jalan Ganesa 10\nGedung B",
}


class Screens:
    def __init__(self, page: Page, demo: Demo) -> None:
        self.page = page
        self.demo = demo

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    def front(self) -> "Screens":
        """The tab that the person looks at; in the others a browser takes its time."""
        self.page.bring_to_front()
        return self

    def sign_in(self, person: Person, path: str = "/belanja", minutes: float = 30) -> None:
        """By pasting the token, as any PP of any test."""
        self.page.goto(f"{self.demo.portal}/#{path}")
        self.page.get_by_text("Pakai token lain").click()
        self.page.get_by_label("Token (JWT)").fill(person.token(minutes))
        self.page.get_by_role("button", name="Masuk", exact=True).click()
        expect(self.page.get_by_role("button", name="Keluar")).to_be_visible()

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def title(self, text: str) -> None:
        """The dialog has come to this step, and those who hear it are told so."""
        heading = self.dialog.get_by_role("heading", name=text)
        expect(heading).to_be_visible()
        expect(heading).to_be_focused()

    def choose(self, label: str, words: str, name: str) -> None:
        box = self.dialog.get_by_role("combobox", name=label)
        box.click()
        box.fill(words)
        self.dialog.get_by_role("option", name=name).first.click()

    def add(self, satker: dict[str, Any]) -> None:
        add = self.button("Tambah Baru").or_(self.page.get_by_role("link", name="Tambah Baru"))
        add.click()
        self.choose("K/L/P/D", satker["klpd_code"], satker["klpd_name"])
        self.choose("Satuan Kerja", satker["name"][:90], satker["name"])
        self.button("Simpan").click()

    def pick(self, satker: dict[str, Any]) -> None:
        """Belanja, a category, mbizmarket, and this satker."""
        self.page.get_by_role("link", name="Belanja", exact=True).click()
        self.page.get_by_role("link", name=CATEGORY).click()
        self.button("mbizmarket Belanja di mbizmarket").click()
        self.title("Pilih satuan kerja")
        self.dialog.get_by_role("button", name=satker["satker_name"]).click()

    def answer(self, word: str) -> None:
        self.title("Apakah Anda sudah pernah melakukan pendaftaran di Mbizmarket?")
        self.dialog.get_by_role("button", name=word).click()

    def log_in(self, email: str, password: str) -> None:
        expect(self.dialog.get_by_role("heading", name="Masuk ke mbizmarket")).to_be_visible()
        self.dialog.get_by_label("E-mail").fill(email)
        self.dialog.get_by_label("Kata sandi", exact=True).fill(password)
        self.button("Masuk").click()

    def fill_registration(self, email: str | None = None, **changes: str) -> None:
        expect(self.dialog.get_by_role("heading", name="Daftar di mbizmarket")).to_be_visible()
        for label, text in (FORM | changes).items():
            self.dialog.get_by_label(label, exact=True).fill(text)
        if email is not None:
            self.field("Email").fill(email)

    def field(self, label: str) -> Locator:
        return self.dialog.get_by_label(label, exact=True)

    def error_at(self, label: str) -> Locator:
        """What stands at the field, found as a screen reader finds it."""
        described = self.field(label).get_attribute("aria-describedby") or ""
        return self.page.locator(f"#{described.split()[-1]}")

    def expect_linked(self, satker: dict[str, Any], company: str) -> None:
        self.title("Berhasil")
        expect(self.dialog).to_contain_text(f"{satker['satker_name']} kini terhubung dengan {company}")

    def enter(self) -> None:
        self.button("Lanjut ke mbizmarket").click()

    def expect_arrived(self, person: Person, satker: dict[str, Any], company: str) -> None:
        """In mbizmarket: who, for which satker and company, with which category."""
        expect(self.page.get_by_role("heading", name="Selamat datang di mbizmarket")).to_be_visible()
        for text in (person.name, company, satker["satker_name"], satker["klpd_name"], CATEGORY):
            expect(self.page.locator("dl")).to_contain_text(text)
        assert self.page.evaluate("opener === null"), "no window of its own, which a browser may block"
