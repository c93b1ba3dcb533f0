"""Belanja: every way of a PP into mbizmarket, as a person goes it."""

from collections.abc import Callable

from playwright.sync_api import Route, expect

from tests.browser.processes import PASSWORD, Demo, Person
from tests.browser.screens import Screens

NewPerson = Callable[..., Person]


def test_confirming_the_account_found(screens: Screens, person: Person, demo: Demo) -> None:
    """One's own e-mail is known at mbizmarket: one click links the satker, the next one leads there."""
    satker = person.add()
    demo.account(person.email, "Dinas Milik Sendiri", name="Dewi Lestari")
    screens.sign_in(person)

    screens.pick(satker)
    screens.title("Kami menemukan akun mbizmarket Anda")
    for text in (person.email, "Dewi Lestari", "Dinas Milik Sendiri", "Bandung"):
        expect(screens.dialog).to_contain_text(text)
    screens.button("Ya, gunakan akun ini").click()

    screens.expect_linked(satker, "Dinas Milik Sendiri")
    screens.enter()
    screens.expect_arrived(person, satker, "Dinas Milik Sendiri")


def test_choosing_among_several_companies_found(screens: Screens, person: Person, demo: Demo) -> None:
    """Without a choice the form says so at its place."""
    satker = person.add()
    demo.account(person.email, "Kantor Satu", "Kantor Dua")
    screens.sign_in(person)

    screens.pick(satker)
    screens.button("Ya, gunakan akun ini").click()
    expect(screens.dialog.get_by_role("group")).to_contain_text("Pilih salah satu.")
    screens.dialog.get_by_label("Kantor Dua").check()
    screens.button("Ya, gunakan akun ini").click()

    screens.expect_linked(satker, "Kantor Dua")


def test_saying_that_the_account_is_somebody_elses(screens: Screens, person: Person, demo: Demo) -> None:
    """It leads on to the question, and to a form that asks for another e-mail."""
    satker = person.add()
    demo.account(person.email, "Bukan Punya Saya")
    screens.sign_in(person)

    screens.pick(satker)
    screens.button("Ini bukan akun saya").click()
    screens.answer("Sudah")
    expect(screens.page.get_by_role("link", name="Lupa kata sandi?")).to_be_visible()
    screens.page.get_by_role("link", name="Daftar sekarang").click()

    screens.title("Daftar di mbizmarket")
    assert "" == screens.field("Email").input_value()
    expect(screens.dialog).to_contain_text("gunakan alamat e-mail lain untuk satker ini")


def test_logging_in_after_a_wrong_password(screens: Screens, person: Person, demo: Demo) -> None:
    """The e-mail stays, the password goes; what is wrong stands at the field that has the focus."""
    satker = person.add()
    demo.account(f"sudah+{person.sub}@mbiz.example", "Kantor Lama")
    screens.sign_in(person)
    screens.pick(satker)
    screens.answer("Sudah")

    screens.log_in(f"sudah+{person.sub}@mbiz.example", "salah sekali")
    expect(screens.error_at("Kata sandi")).to_have_text("E-mail atau kata sandi salah.")
    assert ["", f"sudah+{person.sub}@mbiz.example"] == [
        screens.field(label).input_value() for label in ("Kata sandi", "E-mail")
    ]
    expect(screens.field("Kata sandi")).to_be_focused()
    with screens.page.context.expect_page() as help_page:
        screens.page.get_by_role("link", name="Lupa kata sandi?").click()
    expect(help_page.value.get_by_role("heading", name="Lupa kata sandi")).to_be_visible()
    screens.front()
    screens.field("Kata sandi").fill(PASSWORD)
    screens.button("Masuk").click()

    screens.expect_linked(satker, "Kantor Lama")


def test_logging_in_with_several_companies(screens: Screens, person: Person, demo: Demo) -> None:
    """It is a question and no error: the password need not be typed again."""
    satker = person.add()
    demo.account(f"banyak+{person.sub}@mbiz.example", "Balai Timur", "Balai Barat")
    screens.sign_in(person)
    screens.pick(satker)
    screens.answer("Sudah")

    screens.log_in(f"banyak+{person.sub}@mbiz.example", PASSWORD)
    screens.title("Pilih perusahaan")
    screens.dialog.get_by_label("Balai Barat").check()
    screens.button("Pilih").click()

    screens.expect_linked(satker, "Balai Barat")


def test_registering(screens: Screens, person: Person, demo: Demo) -> None:
    """The own e-mail is suggested; the account is made, linked and entered."""
    satker = person.add()
    screens.sign_in(person)
    screens.pick(satker)
    screens.answer("Belum")

    screens.fill_registration()
    assert person.email == screens.field("Email").input_value()
    screens.button("Daftar").click()

    screens.expect_linked(satker, "Dinas Contoh Uji")
    screens.enter()
    screens.expect_arrived(person, satker, "Dinas Contoh Uji")
    assert 1 == demo.accounts_of(person.email)


def test_registering_with_data_that_mbizmarket_refuses(screens: Screens, person: Person, demo: Demo) -> None:
    """Each refusal stands at its field, the first one has the focus, and nothing typed is lost but the password."""
    satker = person.add()
    screens.sign_in(person)
    screens.pick(satker)
    screens.answer("Belum")

    screens.fill_registration(**{"Kode Pos": "99911", "Kata sandi": "lemah"})
    screens.button("Daftar").click()

    expect(screens.error_at("Kode Pos")).to_have_text("Wilayah ini belum dilayani mbizmarket.")
    expect(screens.error_at("Kata sandi")).to_have_text("Kata sandi terlalu lemah.")
    expect(screens.field("Kata sandi")).to_be_focused()
    labels = ("Kata sandi", "Kode Pos", "Nama kontak", "Alamat Lengkap")
    kept = [screens.field(label).input_value() for label in labels]
    assert ["", "99911", "Budi Santoso", "Jalan Ganesa 10\nGedung B"] == kept
    screens.field("Kode Pos").fill("40132")
    screens.field("Kata sandi").fill(PASSWORD)
    screens.button("Daftar").click()
    screens.expect_linked(satker, "Dinas Contoh Uji")


def test_leaving_fields_empty(screens: Screens, person: Person, demo: Demo) -> None:
    """Nothing is sent; each empty field says so, and the first one has the focus."""
    satker = person.add()
    screens.sign_in(person)
    screens.pick(satker)
    screens.answer("Belum")
    screens.fill_registration(email="", **{"Kode Pos": "401", "Kota atau Kecamatan": " "})

    screens.button("Daftar").click()

    expect(screens.error_at("Email")).to_have_text("Wajib diisi.")
    expect(screens.error_at("Kota atau Kecamatan")).to_have_text("Wajib diisi.")
    expect(screens.error_at("Kode Pos")).to_have_text("Kode pos terdiri atas 5 angka.")
    expect(screens.field("Email")).to_be_focused()
    assert "unmapped" == person.status(satker)


def test_registering_an_email_that_is_taken(screens: Screens, person: Person, demo: Demo) -> None:
    """The field says so and leads to the log-in, which knows the e-mail already."""
    satker = person.add()
    email = f"dipakai+{person.sub}@mbiz.example"
    demo.account(email, "Kantor Yang Ada")
    screens.sign_in(person)
    screens.pick(satker)
    screens.answer("Belum")
    screens.fill_registration(email)

    screens.button("Daftar").click()
    expect(screens.error_at("Email")).to_contain_text("sudah terdaftar di mbizmarket")
    screens.page.get_by_role("link", name="Masuk dengan akun itu").click()
    screens.title("Masuk ke mbizmarket")
    expect(screens.field("E-mail")).to_have_value(email)
    screens.log_in(email, PASSWORD)

    screens.expect_linked(satker, "Kantor Yang Ada")


def test_joining_a_satker_that_a_colleague_has_mapped(
    screens: Screens, new_person: NewPerson, demo: Demo
) -> None:
    """The second PP sees that an account has to be proven, no company before, and nothing to register."""
    first, second = new_person(), new_person()
    catalog = demo.next_satker()
    email = f"bersama+{first.sub}@mbiz.example"
    demo.account(email, "Kantor Bersama")
    first.log_in(first.add(catalog), email)
    satker = second.add(catalog)
    screens.sign_in(second)

    screens.pick(satker)
    screens.title("Masuk ke mbizmarket")
    expect(screens.dialog).to_contain_text("dihubungkan oleh pejabat lain")
    expect(screens.dialog).not_to_contain_text("Kantor Bersama")
    expect(screens.page.get_by_role("link", name="Daftar sekarang")).to_have_count(0)
    screens.log_in(email, PASSWORD)

    screens.expect_linked(satker, "Kantor Bersama")
    screens.enter()
    screens.expect_arrived(second, satker, "Kantor Bersama")


def test_picking_a_satker_that_is_linked(screens: Screens, person: Person, demo: Demo) -> None:
    """Its state and company are told; picking it leads to mbizmarket at once."""
    satker = person.add()
    email = f"langsung+{person.sub}@mbiz.example"
    demo.account(email, "Kantor Langsung")
    person.log_in(satker, email)
    screens.sign_in(person, "/belanja/furnitur/pilih")
    choice = screens.dialog.get_by_role("button", name=satker["satker_name"])
    expect(choice).to_contain_text("Terhubung dengan Kantor Langsung.")

    choice.click()

    screens.expect_arrived(person, satker, "Kantor Langsung")


def test_linking_another_company_when_the_old_one_is_closed(
    screens: Screens, person: Person, demo: Demo
) -> None:
    """The pop-up says that the company is inactive, and leads to another one."""
    satker = person.add()
    old, new = f"tutup+{person.sub}@mbiz.example", f"ganti+{person.sub}@mbiz.example"
    account = demo.account(old, "Kantor Tutup")
    demo.account(new, "Kantor Pengganti")
    person.log_in(satker, old)
    demo.close(account["companies"][0]["company_id"])
    screens.sign_in(person)

    screens.pick(satker)
    expect(screens.dialog.get_by_role("alert")).to_contain_text("Perusahaan ini tidak aktif di mbizmarket.")
    screens.button("Hubungkan perusahaan lain").click()
    screens.answer("Sudah")
    screens.log_in(new, PASSWORD)

    screens.expect_linked(satker, "Kantor Pengganti")


def test_a_next_step_that_this_portal_does_not_know(screens: Screens, person: Person, demo: Demo) -> None:
    """Steps may be added to the contract: an older portal says so and does nothing else."""
    satker = person.add()
    screens.sign_in(person)
    later = '{"next_step": "sign_by_phone"}'

    def answer(route: Route) -> None:
        route.fulfill(
            body=later, content_type="application/json", headers={"Access-Control-Allow-Origin": "*"}
        )

    screens.page.route("**/entry", answer)
    screens.pick(satker)

    expect(screens.dialog.get_by_role("alert")).to_contain_text("belum dikenal portal ini")
