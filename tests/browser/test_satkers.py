"""Profil: the list of satkers and its history, as a person keeps them."""

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Locator, Route, expect

from tests.browser.processes import Demo, Person
from tests.browser.screens import Screens

NewScreens = Callable[[], Screens]
PROFILE = "/profil/satuan-kerja"


def primary(screens: Screens) -> Locator:
    return screens.page.get_by_role("region", name="Satuan Kerja Utama")


def rows(screens: Screens) -> Locator:
    return screens.page.get_by_role("table", name="Satuan Kerja Tambahan").locator("tbody tr")


def names(screens: Screens) -> list[str]:
    return screens.page.locator("td .name").all_text_contents()


def test_adding_satkers(screens: Screens, person: Person, demo: Demo) -> None:
    """The first becomes primary, the second stands in the table."""
    first, second = demo.next_satker(), demo.next_satker()
    screens.sign_in(person, PROFILE)
    expect(screens.page.get_by_text("Anda belum memiliki satuan kerja.")).to_be_visible()

    screens.add(first)
    expect(screens.page.get_by_text("Berhasil. Simpan data satker Anda")).to_be_visible()
    expect(primary(screens)).to_contain_text(first["name"])
    screens.add(second)

    expect(rows(screens)).to_have_count(1)
    expect(rows(screens)).to_contain_text(second["name"])
    expect(rows(screens)).to_contain_text(second["klpd_name"])


def test_one_way_to_add_while_a_list_is_on_its_way(screens: Screens, person: Person) -> None:
    """The first satker is added above the table, further ones at it: the two are never shown together."""
    held: list[Route] = []
    screens.page.route("**/v1/satkers?*is_primary=false*", lambda route: held.append(route))
    screens.sign_in(person, PROFILE)
    expect(screens.page.get_by_text("Anda belum memiliki satuan kerja.")).to_be_visible()

    assert len(held) == 1
    expect(screens.button("Tambah Baru")).to_have_count(0)
    screens.page.get_by_role("link", name="Tambah Baru").click()
    expect(screens.dialog.get_by_role("combobox", name="K/L/P/D")).to_be_focused()
    held[0].continue_()
    expect(screens.page.locator("tbody tr")).to_have_count(1)


def test_adding_the_same_satker_again(screens: Screens, person: Person, demo: Demo) -> None:
    """The field says so, and what was chosen stays."""
    satker = demo.next_satker()
    person.add(satker)
    screens.sign_in(person, PROFILE)

    screens.add(satker)

    expect(screens.page.locator(".field-error").last).to_have_text(
        "Satuan kerja ini sudah ada dalam daftar Anda."
    )
    expect(screens.dialog.get_by_role("combobox", name="Satuan Kerja")).to_have_value(satker["name"])
    expect(screens.dialog.get_by_role("combobox", name="Satuan Kerja")).to_be_focused()


def test_adding_without_choosing_from_the_list(screens: Screens, person: Person) -> None:
    """Typed words are no choice: the field says what is missing."""
    screens.sign_in(person, f"{PROFILE}/tambah")
    screens.dialog.get_by_role("combobox", name="K/L/P/D").fill("tidak ada yang begini")
    expect(screens.dialog.get_by_role("listbox", name="K/L/P/D")).to_contain_text("Tidak ditemukan.")

    screens.page.keyboard.press("Enter")

    expect(screens.page.locator(".field-error").first).to_have_text("Pilih salah satu dari daftar.")


def test_searching_sorting_and_paging_the_table(screens: Screens, person: Person, demo: Demo) -> None:
    """Ten entries at first; what is shown stays in the address and survives a reload."""
    catalog = sorted(demo.unused[:14], key=lambda one: str(one["name"]))
    for satker in catalog:
        person.add(satker)
    added = [satker["name"] for satker in catalog[1:]]  # the first is the primary one
    screens.sign_in(person, PROFILE)
    count = screens.page.locator(".count")
    expect(count).to_have_text("Menampilkan 1 sampai 10 dari 13 entri")

    screens.button("Satuan Kerja").click()
    expect(screens.page.get_by_role("columnheader", name="Satuan Kerja")).to_have_attribute(
        "aria-sort", "ascending"
    )
    assert added[:10] == names(screens)
    expect(screens.button("Satuan Kerja")).to_be_focused()
    screens.button("Berikutnya").press("Enter")
    expect(count).to_have_text("Menampilkan 11 sampai 13 dari 13 entri")
    expect(screens.button("Halaman 2")).to_be_focused()
    assert added[10:] == names(screens)
    screens.page.get_by_label("Tampilkan").select_option("25")
    expect(rows(screens)).to_have_count(13)
    screens.page.get_by_label("Cari").fill(added[4])
    expect(rows(screens)).to_have_count(1)

    screens.page.reload()
    expect(rows(screens)).to_have_count(1)
    assert [added[4]] == names(screens)


def test_sorting_without_a_connection(screens: Screens, person: Person, context: BrowserContext) -> None:
    """What is shown stays, and what to do next is said; trying again does what was asked for."""
    satkers = [person.add() for _ in range(3)]
    screens.sign_in(person, PROFILE)
    expect(rows(screens)).to_have_count(2)

    context.set_offline(True)
    screens.button("Satuan Kerja").click()
    expect(screens.page.get_by_role("alert")).to_contain_text("Periksa sambungan internet Anda")
    expect(rows(screens)).to_have_count(2)
    context.set_offline(False)
    screens.button("Coba lagi").click()

    expect(screens.page.get_by_role("alert")).to_have_count(0)
    assert sorted(one["satker_name"] for one in satkers[1:]) == names(screens)


def test_looking_at_a_satker_that_was_removed_in_another_tab(screens: Screens, person: Person) -> None:
    """It is said, and the list behind it no longer has it."""
    person.add()
    satker = person.add()
    screens.sign_in(person, PROFILE)
    expect(rows(screens)).to_contain_text(satker["satker_name"])
    person.call("DELETE", f"/v1/satkers/{satker['id']}")

    screens.button(f"Lihat {satker['satker_name']}").click()

    expect(screens.dialog.get_by_role("alert")).to_contain_text("Satuan kerja tidak ada dalam daftar Anda.")
    expect(screens.page.get_by_text("Belum ada satuan kerja tambahan.")).to_be_attached()


def test_making_another_one_primary(screens: Screens, person: Person) -> None:
    """The two change places."""
    old, new = person.add(), person.add()
    screens.sign_in(person, PROFILE)

    screens.button(f"Lihat {new['satker_name']}").click()
    screens.title("Satuan Kerja")
    expect(screens.dialog).to_contain_text(new["satker_name"])
    screens.button("Jadikan utama").click()

    expect(screens.page.get_by_text("Berhasil. Satuan kerja utama diganti")).to_be_visible()
    expect(primary(screens)).to_contain_text(new["satker_name"])
    assert [old["satker_name"]] == names(screens)


def test_making_primary_what_changed_in_another_tab(screens: Screens, person: Person) -> None:
    """Whoever looks at old data is told so, and nothing is changed."""
    first, second = person.add(), person.add()
    screens.sign_in(person, f"{PROFILE}/{second['id']}")
    expect(screens.button("Jadikan utama")).to_be_visible()
    person.call("PATCH", f"/v1/satkers/{second['id']}", {"is_primary": True})
    person.call("PATCH", f"/v1/satkers/{first['id']}", {"is_primary": True})

    screens.button("Jadikan utama").click()

    expect(screens.dialog.get_by_role("alert")).to_contain_text("Data sudah berubah.")
    expect(screens.dialog.get_by_role("alert")).to_contain_text("Buka lagi untuk melihat data terbaru.")


def test_removing_a_satker(screens: Screens, person: Person) -> None:
    """It asks first; Batal changes nothing, and the focus is back where it was."""
    person.add()
    satker = person.add()
    screens.sign_in(person, PROFILE)

    remove = screens.button(f"Hapus {satker['satker_name']}")
    remove.click()
    screens.title("Hapus satuan kerja?")
    screens.button("Batal").click()
    expect(remove).to_be_focused()
    remove.click()
    screens.button("Ya, hapus").click()

    expect(screens.page.get_by_text("Berhasil. Satuan kerja dihapus")).to_be_visible()
    expect(screens.page.get_by_text("Belum ada satuan kerja tambahan.")).to_be_visible()


def test_removing_a_satker_that_is_mapped(screens: Screens, person: Person, demo: Demo) -> None:
    """It says which link ends with it, and ends it only then."""
    person.add()
    catalog = demo.next_satker()
    satker = person.add(catalog)
    email = f"hapus+{person.sub}@mbiz.example"
    demo.account(email, "Kantor Terhapus")
    person.log_in(satker, email)
    screens.sign_in(person, PROFILE)

    screens.button(f"Hapus {satker['satker_name']}").click()
    expect(screens.dialog).to_contain_text("terhubung dengan Kantor Terhapus di mbizmarket")
    assert "mapped" == person.status(satker)
    screens.button("Hapus dan akhiri hubungan").click()

    expect(screens.page.get_by_text("Belum ada satuan kerja tambahan.")).to_be_visible()
    assert "unmapped" == person.status(person.add(catalog))


def test_removing_a_satker_that_is_mapped_meanwhile(screens: Screens, person: Person, demo: Demo) -> None:
    """The link that came in another tab is asked about before it ends."""
    person.add()
    satker = person.add()
    email = f"sementara+{person.sub}@mbiz.example"
    demo.account(email, "Kantor Sementara")
    screens.sign_in(person, PROFILE)
    screens.button(f"Hapus {satker['satker_name']}").click()
    screens.title("Hapus satuan kerja?")
    person.log_in(satker, email)

    screens.button("Ya, hapus").click()
    expect(screens.dialog).to_contain_text("terhubung dengan Kantor Sementara di mbizmarket")
    assert "mapped" == person.status(satker)
    screens.button("Hapus dan akhiri hubungan").click()

    expect(screens.page.get_by_text("Belum ada satuan kerja tambahan.")).to_be_visible()


def test_removing_the_primary_one(screens: Screens, person: Person) -> None:
    """While others remain it is refused, with what to do first."""
    satker = person.add()
    person.add()
    screens.sign_in(person, f"{PROFILE}/{satker['id']}")

    screens.button("Hapus").click()
    screens.button("Ya, hapus").click()

    expect(screens.dialog.get_by_role("alert")).to_contain_text(
        "Jadikan satuan kerja lain sebagai utama dahulu."
    )


def test_ending_a_mapping(screens: Screens, person: Person, demo: Demo) -> None:
    """The satker stays, unlinked."""
    satker = person.add()
    email = f"putus+{person.sub}@mbiz.example"
    demo.account(email, "Kantor Terputus")
    person.log_in(satker, email)
    screens.sign_in(person, PROFILE)
    screens.button(f"Lihat {satker['satker_name']}").click()
    expect(screens.dialog).to_contain_text("Kantor Terputus")

    screens.button("Putuskan hubungan").click()
    screens.title("Putuskan hubungan?")
    screens.button("Ya, putuskan").click()

    expect(screens.page.get_by_text("Berhasil. Hubungan diputuskan")).to_be_visible()
    expect(primary(screens)).to_contain_text("Belum terhubung")


def test_reading_the_history(screens: Screens, person: Person, demo: Demo) -> None:
    """What happened, newest first, a refused log-in too; of one satker where asked."""
    other, satker = person.add(), person.add()
    email = f"riwayat+{person.sub}@mbiz.example"
    demo.account(email, "Kantor Riwayat")
    screens.sign_in(person)
    screens.pick(satker)
    screens.answer("Sudah")
    screens.log_in(email, "salah sekali")
    expect(screens.error_at("Kata sandi")).to_contain_text("salah")
    person.log_in(satker, email)

    screens.page.goto(f"{demo.portal}/#/profil/riwayat")
    history = screens.page.get_by_role("table", name="Riwayat").locator("tbody tr")
    expect(history).to_have_count(4)
    for row, texts in enumerate((["Kantor Riwayat", "Berhasil", "Anda"], ["E-mail atau kata sandi salah"])):
        for text in texts:
            expect(history.nth(row)).to_contain_text(text)
    screens.page.goto(f"{demo.portal}/#/profil/riwayat?satker={other['id']}")

    expect(history).to_have_count(1)
    expect(history).to_contain_text("Satuan kerja ditambahkan")


def test_reading_a_long_history(screens: Screens, person: Person, demo: Demo) -> None:
    """The rest comes when asked for."""
    for satker in demo.unused[:22]:
        person.add(satker)
    screens.sign_in(person, "/profil/riwayat")
    history = screens.page.locator("tbody tr")
    expect(history).to_have_count(20)

    screens.button("Muat lebih banyak").click()

    expect(history).to_have_count(22)
    expect(screens.button("Muat lebih banyak")).to_have_count(0)
    expect(history.nth(20)).to_be_focused()
