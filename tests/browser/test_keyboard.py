"""By keyboard alone: every path, and the focus is never lost."""

from playwright.sync_api import Page, expect

from tests.browser.processes import PASSWORD, Demo, Person
from tests.browser.screens import Screens


def test_adding_and_registering_by_keyboard_alone(screens: Screens, person: Person, demo: Demo) -> None:
    """Signing in, adding a satker, picking it and registering: no mouse, and the focus is never lost."""
    satker = demo.next_satker()
    page, keys = screens.page, screens.page.keyboard
    page.goto(demo.portal)
    expect(page.get_by_text("Pakai token lain")).to_be_visible()
    press(page, "Pakai token lain")
    tab_to(page, "Token (JWT)")
    keys.insert_text(person.token())
    press(page, "Masuk")

    expect(screens.button("Keluar")).to_be_visible()
    press(page, "Profil", "Tambah Baru")
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

    press(page, "Belanja", "Furnitur Kantor", "mbizmarket Belanja di mbizmarket", satker["name"], "Belum")
    screens.title("Daftar di mbizmarket")
    for label, text in (
        ("Kata sandi", PASSWORD),
        ("Kota atau Kecamatan", "Coblong"),
        ("Kode Pos", "40132"),
        ("Alamat Lengkap", "Jalan Ganesa 10"),
    ):
        tab_to(page, label)
        keys.insert_text(text)
    press(page, "Daftar")
    screens.title("Berhasil")
    tab_to(page, "Lanjut ke mbizmarket")
    keys.press("Enter")

    expect(page.get_by_role("heading", name="Selamat datang di mbizmarket")).to_be_visible()


def test_keeping_the_list_by_keyboard_alone(screens: Screens, person: Person, demo: Demo) -> None:
    """Sorting, viewing, making primary, unlinking, removing, and the history."""
    old, new, linked = person.add(), person.add(), person.add()
    email = f"papan+{person.sub}@mbiz.example"
    demo.account(email, "Kantor Papan Ketik")
    person.log_in(linked, email)
    screens.sign_in(person, "/profil/satuan-kerja")
    page, keys = screens.page, screens.page.keyboard
    heading = page.get_by_role("heading", name="Satuan Kerja Tambahan")
    expect(page.get_by_text("Menampilkan 1 sampai 2 dari 2 entri")).to_be_visible()

    press(page, "Terakhir berubah")
    expect(screens.button("Terakhir berubah")).to_be_focused()
    press(page, f"Lihat {new['satker_name']}", "Jadikan utama")
    expect(page.get_by_text("Berhasil. Satuan kerja utama diganti")).to_be_visible()
    expect(heading).to_be_focused()
    press(page, f"Lihat {linked['satker_name']}", "Putuskan hubungan", "Ya, putuskan")
    expect(page.get_by_text("Berhasil. Hubungan diputuskan")).to_be_visible()
    remove = f"Hapus {old['satker_name']}"
    press(page, remove, "Batal")
    expect(screens.button(remove)).to_be_focused()
    keys.press("Enter")
    press(page, "Ya, hapus")
    expect(page.get_by_text("Berhasil. Satuan kerja dihapus")).to_be_visible()
    expect(heading).to_be_focused()
    press(page, "Riwayat")

    expect(page.get_by_role("heading", name="Riwayat")).to_be_focused()
    expect(page.locator("tbody tr").first).to_contain_text("Satuan kerja dihapus")


def test_confirming_by_keyboard_alone(screens: Screens, person: Person, demo: Demo) -> None:
    """One of the companies of the account that was found."""
    satker = person.add()
    demo.account(person.email, "Kantor Pertama", "Kantor Kedua")
    screens.sign_in(person, "/belanja/furnitur/pilih")
    screens.title("Pilih satuan kerja")

    press(screens.page, satker["satker_name"])
    screens.title("Kami menemukan akun mbizmarket Anda")
    tab_to(screens.page, "Kantor Pertama")
    screens.page.keyboard.press("ArrowDown")
    press(screens.page, "Ya, gunakan akun ini")

    screens.expect_linked(satker, "Kantor Kedua")


def test_logging_in_by_keyboard_alone(screens: Screens, person: Person, demo: Demo) -> None:
    """The account found is not theirs, the password is wrong at first, and the right account has two companies."""
    satker = person.add()
    email = f"tombol+{person.sub}@mbiz.example"
    demo.account(person.email, "Bukan Punya Saya")
    demo.account(email, "Kantor Utara", "Kantor Selatan")
    screens.sign_in(person, "/belanja/furnitur/pilih")
    screens.title("Pilih satuan kerja")
    page, keys = screens.page, screens.page.keyboard

    press(page, satker["satker_name"])
    screens.title("Kami menemukan akun mbizmarket Anda")
    press(page, "Ini bukan akun saya")
    screens.title("Apakah Anda sudah pernah melakukan pendaftaran di Mbizmarket?")
    press(page, "Sudah")
    screens.title("Masuk ke mbizmarket")
    tab_to(page, "E-mail")
    keys.insert_text(email)
    tab_to(page, "Kata sandi")
    keys.insert_text("salah sekali")
    keys.press("Enter")
    expect(screens.error_at("Kata sandi")).to_contain_text("salah")
    expect(screens.field("Kata sandi")).to_be_focused()
    keys.insert_text(PASSWORD)
    keys.press("Enter")
    screens.title("Pilih perusahaan")
    tab_to(page, "Kantor Utara")
    keys.press("Space")
    keys.press("Enter")

    screens.expect_linked(satker, "Kantor Utara")


FOCUSED = """() => {
    const one = document.activeElement ?? document.body;
    if (one.tabIndex < 0) return ["", true];  // a heading that is read out, or the end of the page
    const words = (one.labels?.[0] ?? one).innerText.trim().replace(/\\s+/g, " ");
    const name = one.ariaLabel ?? `${one.querySelector("img")?.alt ?? ""} ${words}`.trim();
    return [name, getComputedStyle(one).outlineStyle !== "none"];
}"""


def tab_to(page: Page, name: str) -> None:
    """Presses Tab until what has the focus is called so: within 40 stops, and each stop is seen."""
    for _ in range(40):
        page.keyboard.press("Tab")
        found, seen = page.evaluate(FOCUSED)
        assert seen, f"nothing shows that {found} has the focus"
        if found == name or found.startswith(f"{name} "):
            return
    raise AssertionError(f"no Tab leads to {name}")


def press(page: Page, *names: str) -> None:
    """One after the other: Tab to it, Enter, and what comes is there when it has the focus."""
    for name in names:
        tab_to(page, name)
        page.keyboard.press("Enter")
        page.wait_for_function("(document.activeElement ?? document.body) !== document.body")


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


def test_pressing_again_what_a_dialog_gave_the_focus_back_to(screens: Screens, person: Person) -> None:
    """However quick: in the same moment as Batal, its button opens the dialog once more."""
    person.add()
    satker = person.add()
    screens.sign_in(person, "/profil/satuan-kerja")
    screens.button(f"Hapus {satker['satker_name']}").click()
    screens.title("Hapus satuan kerja?")

    screens.button("Batal").evaluate("button => { button.click(); document.activeElement.click(); }")

    screens.title("Hapus satuan kerja?")
    screens.page.wait_for_timeout(300)
    expect(screens.button("Ya, hapus")).to_be_visible()


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
