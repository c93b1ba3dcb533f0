"""Belanja when the service says no: what is said, where, and what can be done next."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.processes import PASSWORD, Demo, Person
from tests.browser.screens import Screens

NewPerson = Callable[..., Person]


def at_the_login(screens: Screens, person: Person) -> dict[str, str]:
    """A new satker's log-in at mbizmarket."""
    satker = person.add()
    screens.sign_in(person)
    screens.pick(satker)
    screens.answer("Sudah")
    return satker


def test_logging_in_to_a_company_of_another_satker(screens: Screens, person: Person, demo: Demo) -> None:
    """It is refused; another account of the same person gets in from the same form."""
    taken, free = f"terpakai+{person.sub}@mbiz.example", f"bebas+{person.sub}@mbiz.example"
    demo.account(taken, "Kantor Terpakai")
    demo.account(free, "Kantor Bebas")
    person.log_in(person.add(), taken)
    satker = at_the_login(screens, person)

    screens.log_in(taken, PASSWORD)
    alert = screens.dialog.get_by_role("alert")
    expect(alert).to_contain_text("Perusahaan ini sudah terhubung dengan satuan kerja lain.")
    expect(alert).to_contain_text("atau daftarkan yang baru")
    expect(screens.field("E-mail")).to_have_value(taken)
    screens.log_in(free, PASSWORD)

    screens.expect_linked(satker, "Kantor Bebas")


def test_logging_in_to_an_account_without_an_active_company(screens: Screens, person: Person) -> None:
    """It is said, and what can be done about it."""
    at_the_login(screens, person)

    screens.log_in("tutup@mbiz.example", PASSWORD)

    alert = screens.dialog.get_by_role("alert")
    expect(alert).to_contain_text("Akun mbizmarket ini tidak memiliki perusahaan yang aktif.")
    expect(alert).to_contain_text("daftarkan yang baru dengan e-mail lain")


def test_joining_a_mapped_satker_with_a_wrong_account(
    screens: Screens, new_person: NewPerson, demo: Demo
) -> None:
    """It is refused without naming company or colleague."""
    first, second = new_person(), new_person()
    catalog = demo.next_satker()
    demo.account(f"benar+{first.sub}@mbiz.example", "Kantor Rahasia")
    demo.account(f"salah+{first.sub}@mbiz.example", "Kantor Salah")
    first.log_in(first.add(catalog), f"benar+{first.sub}@mbiz.example")
    satker = second.add(catalog)
    screens.sign_in(second)
    screens.pick(satker)

    screens.log_in(f"salah+{first.sub}@mbiz.example", PASSWORD)

    expect(screens.dialog.get_by_role("alert")).to_contain_text(
        "Masuk dengan akun perusahaan satuan kerja ini"
    )
    for secret in ("Kantor Rahasia", first.name, first.email):
        expect(screens.dialog).not_to_contain_text(secret)


def test_saying_that_the_account_of_a_mapped_satker_is_not_mine(
    screens: Screens, new_person: NewPerson, demo: Demo
) -> None:
    """Who is known to have its company is offered that; who says no logs in instead, and registers nothing."""
    first, second = new_person(), new_person()
    catalog = demo.next_satker()
    demo.account(second.email, "Kantor Berdua")
    first.log_in(first.add(catalog), second.email)
    satker = second.add(catalog)
    screens.sign_in(second)

    screens.pick(satker)
    screens.title("Kami menemukan akun mbizmarket Anda")
    expect(screens.dialog).to_contain_text("Kantor Berdua")
    screens.button("Ini bukan akun saya").click()

    screens.title("Masuk ke mbizmarket")
    expect(screens.page.get_by_role("link", name="Lupa kata sandi?")).to_be_visible()
    expect(screens.page.get_by_role("link", name="Daftar sekarang")).to_have_count(0)
    screens.log_in(second.email, PASSWORD)
    screens.expect_linked(satker, "Kantor Berdua")


def test_logging_in_too_often(screens: Screens, person: Person, demo: Demo) -> None:
    """After five wrong passwords the next try is told how long to wait; the e-mail stays."""
    satker = at_the_login(screens, person)
    email = f"sering+{person.sub}@mbiz.example"
    for _ in range(5):
        demo.http.post(
            f"{demo.api}/v1/satkers/{satker['id']}/mapping/login",
            json={"email": email, "password": "salah sekali"},
            headers={"Authorization": f"Bearer {person.token()}"},
        )

    screens.log_in(email, PASSWORD)

    alert = screens.dialog.get_by_role("alert")
    expect(alert).to_contain_text("Terlalu banyak percobaan.")
    expect(alert).to_contain_text("Tunggu 15 menit.")
    expect(screens.field("E-mail")).to_have_value(email)
    expect(screens.field("Kata sandi")).to_have_value("")


def test_calling_too_often(screens: Screens, person: Person, demo: Demo) -> None:
    """The pop-up says how long to wait, and tries again when told."""
    satker = person.add()
    screens.sign_in(person, "/belanja/furnitur/pilih")
    screens.title("Pilih satuan kerja")
    for _ in range(60):
        answer = demo.http.post(
            f"{demo.api}/v1/satkers/unknown/entry", headers={"Authorization": f"Bearer {person.token()}"}
        )
        if answer.status_code == 429:
            break

    screens.dialog.get_by_role("button", name=satker["satker_name"]).click()

    alert = screens.dialog.get_by_role("alert")
    expect(alert).to_contain_text("Terlalu banyak permintaan.")
    expect(alert).to_contain_text("detik.")
    expect(screens.button("Coba lagi")).to_be_visible()


def test_picking_while_a_colleague_registers(screens: Screens, new_person: NewPerson, demo: Demo) -> None:
    """It waits by itself, and then asks for the account that the colleague made."""
    first, second = new_person("lost"), new_person()
    catalog = demo.next_satker()
    theirs, satker = first.add(catalog), second.add(catalog)
    demo.fault("find_registration", "503_before", times=4)
    first.register(theirs)
    screens.sign_in(second)

    screens.pick(satker)
    screens.title("Sedang diperiksa")
    expect(screens.dialog).not_to_contain_text(first.email)
    demo.clear_faults()

    screens.title("Masuk ke mbizmarket")
    expect(screens.dialog).to_contain_text("dihubungkan oleh pejabat lain")


def test_picking_a_satker_that_was_removed_in_another_tab(screens: Screens, person: Person) -> None:
    """It is said, and leads back to those that are still there."""
    person.add()
    satker = person.add()
    screens.sign_in(person, "/belanja/furnitur/pilih")
    choice = screens.dialog.get_by_role("button", name=satker["satker_name"])
    expect(choice).to_be_visible()
    person.call("DELETE", f"/v1/satkers/{satker['id']}")

    choice.click()
    expect(screens.dialog.get_by_role("alert")).to_contain_text("Satuan kerja tidak ada dalam daftar Anda.")
    screens.button("Pilih satuan kerja lain").click()

    screens.title("Pilih satuan kerja")
    expect(choice).to_have_count(0)
