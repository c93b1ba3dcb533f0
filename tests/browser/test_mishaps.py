"""Belanja when something goes wrong: lost answers, outages, double clicks, two tabs, Back."""

from collections.abc import Callable

from playwright.sync_api import BrowserContext, expect

from tests.browser.processes import PASSWORD, Demo, Person
from tests.browser.screens import Screens

NewPerson = Callable[..., Person]
NewScreens = Callable[[], Screens]


def at_the_form(screens: Screens, person: Person) -> dict[str, str]:
    """A new satker's registration form, filled in."""
    satker = person.add()
    screens.sign_in(person)
    screens.pick(satker)
    screens.answer("Belum")
    screens.fill_registration()
    return satker


def test_registering_when_the_answer_is_lost(screens: Screens, new_person: NewPerson, demo: Demo) -> None:
    """It is being checked, never called failed, and ends linked by itself with one account."""
    person = new_person("lost")
    satker = at_the_form(screens, person)

    screens.button("Daftar").click()

    screens.title("Sedang diperiksa")
    expect(screens.dialog).to_contain_text("Tidak perlu mendaftar lagi")
    screens.expect_linked(satker, "Dinas Contoh Uji")
    assert 1 == demo.accounts_of(person.email)


def test_closing_the_window_while_it_is_being_checked(
    screens: Screens, new_person: NewPerson, demo: Demo
) -> None:
    """Coming back later finds out what became of it."""
    person = new_person("lost")
    satker = at_the_form(screens, person)
    screens.button("Daftar").click()
    screens.title("Sedang diperiksa")

    screens.dialog.get_by_role("button", name="Tutup").click()
    expect(screens.button("mbizmarket Belanja di mbizmarket")).to_be_focused()
    screens.pick(satker)

    screens.expect_arrived(person, satker, "Dinas Contoh Uji")
    assert 1 == demo.accounts_of(person.email)


def test_registering_when_it_never_arrives(screens: Screens, person: Person, demo: Demo) -> None:
    """The person is told what became of it, and finds the form as it was, without the password."""
    satker = at_the_form(screens, person)
    demo.fault("register", "503_before")
    screens.button("Daftar").click()
    screens.title("Sedang diperiksa")

    screens.button("Periksa sekarang").focus()
    for _ in range(3):  # three times unknown there, and it never arrived
        screens.page.keyboard.press("Enter")
        screens.page.wait_for_timeout(300)
    expect(screens.dialog).to_contain_text("tidak sampai di mbizmarket", timeout=40_000)
    screens.answer("Belum")
    assert "Budi Santoso" == screens.field("Nama kontak").input_value()
    assert "" == screens.field("Kata sandi").input_value()
    screens.field("Kata sandi").fill(PASSWORD)
    screens.button("Daftar").click()

    screens.expect_linked(satker, "Dinas Contoh Uji")
    assert 1 == demo.accounts_of(person.email)


def test_entering_while_mbizmarket_is_down(screens: Screens, person: Person, demo: Demo) -> None:
    """It is said, with what to do next; trying again goes on from there."""
    satker = person.add()
    demo.fault("search", "503_before")
    screens.sign_in(person)

    screens.pick(satker)
    alert = screens.dialog.get_by_role("alert")
    expect(alert).to_contain_text("mbizmarket sedang tidak dapat dihubungi.")
    expect(alert).to_contain_text("Tunggu 5 detik.")
    screens.button("Coba lagi").click()

    screens.answer("Belum")
    screens.title("Daftar di mbizmarket")


def test_logging_in_while_mbizmarket_is_down(screens: Screens, person: Person, demo: Demo) -> None:
    """The e-mail stays for the next try."""
    satker = person.add()
    screens.sign_in(person)
    screens.pick(satker)
    screens.answer("Sudah")

    screens.log_in(f"down+{person.sub}@mbiz.example", PASSWORD)

    expect(screens.dialog.get_by_role("alert")).to_contain_text("mbizmarket sedang tidak dapat dihubungi.")
    assert f"down+{person.sub}@mbiz.example" == screens.field("E-mail").input_value()


def test_registering_without_a_connection(screens: Screens, person: Person, context: BrowserContext) -> None:
    """Nothing typed is lost, and sending it again when the connection is back works."""
    satker = at_the_form(screens, person)
    context.set_offline(True)
    screens.button("Daftar").click()
    expect(screens.dialog.get_by_role("alert")).to_contain_text("Layanan tidak dapat dihubungi.")
    assert "Dinas Contoh Uji" == screens.field("Nama Perusahaan/Institusi/Toko").input_value()

    context.set_offline(False)
    screens.field("Kata sandi").fill(PASSWORD)
    screens.button("Daftar").click()

    screens.expect_linked(satker, "Dinas Contoh Uji")


def test_registering_while_mbizmarket_is_away(screens: Screens, person: Person, demo: Demo) -> None:
    """Nothing was sent: it is said so, the form stays but for the password, and the next try works."""
    satker = at_the_form(screens, person)
    demo.fault("register", "expired_token")  # and no other is to be had: nothing can be sent
    demo.fault("token", "503_before", times=5)
    screens.button("Daftar").click()

    alert = screens.dialog.get_by_role("alert")
    for text in (
        "tidak dapat dihubungi",
        "Belum ada yang berubah.",
        "Isian Anda masih ada, kecuali kata sandi.",
    ):
        expect(alert).to_contain_text(text)
    expect(alert).to_be_in_viewport()
    assert ["Coblong", ""] == [
        screens.field(one).input_value() for one in ("Kota atau Kecamatan", "Kata sandi")
    ]
    assert "unmapped" == person.status(satker)
    demo.clear_faults()
    screens.field("Kata sandi").fill(PASSWORD)
    screens.button("Daftar").click()

    screens.expect_linked(satker, "Dinas Contoh Uji")
    assert 1 == demo.accounts_of(person.email)


def test_clicking_twice(screens: Screens, person: Person, demo: Demo) -> None:
    """One registration is sent."""
    satker = at_the_form(screens, person)
    sent: list[str] = []
    screens.page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))

    screens.button("Daftar").dblclick()

    screens.expect_linked(satker, "Dinas Contoh Uji")
    assert 1 == sum(one.endswith("/register") and one.startswith("POST") for one in sent)
    assert 1 == demo.accounts_of(person.email)


def test_registering_in_two_tabs(new_screens: NewScreens, person: Person, demo: Demo) -> None:
    """The same registration from both ends linked in both, with one account."""
    one, other = new_screens(), new_screens()
    satker = at_the_form(one.front(), person)
    other.front().sign_in(person)
    other.pick(satker)
    other.answer("Belum")
    other.fill_registration()
    demo.fault("register", "sleep_after", seconds=1)

    one.front().button("Daftar").click()
    expect(one.button("Mengirim…")).to_be_visible()
    other.front().button("Daftar").click()

    for tab in (one, other):
        tab.front().expect_linked(satker, "Dinas Contoh Uji")
    assert 1 == demo.accounts_of(person.email)


def test_registering_another_email_in_a_second_tab(
    new_screens: NewScreens, person: Person, demo: Demo
) -> None:
    """It is refused while the first is under way, with what to do next, and makes no account."""
    one, other = new_screens(), new_screens()
    satker = at_the_form(one.front(), person)
    other.front().sign_in(person)
    other.pick(satker)
    other.answer("Belum")
    other.fill_registration(f"lain+{person.sub}@satker.example")
    demo.fault("register", "sleep_after", seconds=1.5)

    one.front().button("Daftar").click()
    expect(one.button("Mengirim…")).to_be_visible()
    other.front().button("Daftar").click()

    expect(other.dialog.get_by_role("alert")).to_contain_text("masih diperiksa")
    one.front().expect_linked(satker, "Dinas Contoh Uji")
    assert 0 == demo.accounts_of(f"lain+{person.sub}@satker.example")


def test_going_back_through_the_steps(screens: Screens, person: Person) -> None:
    """Each step has an address of its own, and what was typed is there again going forward."""
    at_the_form(screens, person)

    screens.page.go_back()
    screens.title("Apakah Anda sudah pernah melakukan pendaftaran di Mbizmarket?")
    screens.page.go_back()
    screens.title("Pilih satuan kerja")
    screens.page.go_back()
    expect(screens.dialog).to_have_count(0)
    for _ in range(3):
        screens.page.go_forward()

    screens.title("Daftar di mbizmarket")
    assert "Dinas Contoh Uji" == screens.field("Nama Perusahaan/Institusi/Toko").input_value()
    assert "" == screens.field("Kata sandi").input_value()


def test_going_back_from_mbizmarket(screens: Screens, person: Person, demo: Demo) -> None:
    """Back shows the shop, and further back asks before it leads to mbizmarket again."""
    satker = person.add()
    demo.account(person.email, "Kantor Pulang")
    screens.sign_in(person)
    screens.pick(satker)
    screens.button("Ya, gunakan akun ini").click()
    screens.enter()
    screens.expect_arrived(person, satker, "Kantor Pulang")

    screens.page.go_back()
    expect(screens.button("mbizmarket Belanja di mbizmarket")).to_be_visible()
    expect(screens.dialog).to_have_count(0)
    screens.page.go_back()
    screens.title("Pilih satuan kerja")
    screens.page.goto(f"{demo.portal}/#/belanja/furnitur/satker/{satker['id']}")
    screens.title("Siap berbelanja")
    expect(screens.button("Buka mbizmarket")).to_be_visible()


def test_the_session_ending_while_typing(screens: Screens, person: Person) -> None:
    """One signs in again and finds the form as it was, without the password."""
    satker = at_the_form(screens, person)
    screens.page.evaluate(f"sessionStorage.setItem('portal.token', '{person.token(minutes=-2)}')")
    screens.button("Daftar").click()
    expect(screens.page.get_by_role("alert")).to_contain_text("Sesi Anda berakhir.")

    screens.page.get_by_text("Pakai token lain").click()
    screens.page.get_by_label("Token (JWT)").fill(person.token())
    screens.button("Masuk").click()

    screens.title("Daftar di mbizmarket")
    assert "Dinas Contoh Uji" == screens.field("Nama Perusahaan/Institusi/Toko").input_value()
    screens.field("Kata sandi").fill(PASSWORD)
    screens.button("Daftar").click()
    screens.expect_linked(satker, "Dinas Contoh Uji")
