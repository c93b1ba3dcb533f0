"""The accounts that a new sandbox starts with. Their ids are fixed: examples and import files name them."""

from dataclasses import dataclass

PASSWORD = "Rahasia-123"  # noqa: S105 - made up, and printed for whoever tries the sandbox


@dataclass(frozen=True, slots=True)
class SampleCompany:
    company_id: str
    name: str
    city: str
    postal_code: str
    status: str = "active"


@dataclass(frozen=True, slots=True)
class SampleAccount:
    """`note` says, in one line for people, what the account is good for."""

    account_id: str
    email: str
    name: str
    note: str
    companies: tuple[SampleCompany, ...]
    email_verified: bool = True
    password: str = PASSWORD


def _company(number: int, name: str, city: str, postal_code: str, status: str = "active") -> SampleCompany:
    return SampleCompany(f"C-{number}", name, city, postal_code, status)


_OF_BUDI = _company(2001, "Sekretariat Jenderal Contoh", "Jakarta Pusat", "10110")

SAMPLE_ACCOUNTS: tuple[SampleAccount, ...] = (
    SampleAccount("A-1001", "budi@mbiz.example", "Budi Santoso", "one active company", (_OF_BUDI,)),
    SampleAccount(
        "A-1002", "rekan@mbiz.example", "Rina Kartika", "a colleague in Budi's company", (_OF_BUDI,)
    ),
    SampleAccount(
        "A-1003",
        "sari@mbiz.example",
        "Sari Wulandari",
        "three active companies in different cities: a choice must be made",
        (
            _company(2002, "Balai Besar Contoh", "Jakarta Selatan", "12190"),
            _company(2003, "Balai Contoh Bandung", "Bandung", "40115"),
            _company(2004, "Balai Contoh Surabaya", "Surabaya", "60271"),
        ),
    ),
    SampleAccount(
        "A-1004",
        "tutup@mbiz.example",
        "Tuti Herawati",
        "an inactive company only",
        (_company(2005, "Kantor Lama Contoh", "Semarang", "50132", "inactive"),),
    ),
    SampleAccount(
        "A-1005",
        "campur@mbiz.example",
        "Candra Wijaya",
        "one active and one inactive company",
        (
            _company(2006, "Dinas Contoh Medan", "Medan", "20112"),
            _company(2007, "Dinas Lama Contoh Medan", "Medan", "20111", "inactive"),
        ),
    ),
    SampleAccount(
        "A-1006",
        "belum.verifikasi@mbiz.example",
        "Bella Verawati",
        "an e-mail that was never verified: not offered, but can log in",
        (_company(2008, "Kantor Contoh Makassar", "Makassar", "90111"),),
        email_verified=False,
    ),
    SampleAccount("A-1007", "kosong@mbiz.example", "Kosim Hidayat", "no company at all", ()),
    SampleAccount(
        "A-1008",
        "pp.demo@bela.example",
        "Dewi Lestari",
        "the e-mail of the demo's PP: confirmed without logging in",
        (_company(2009, "Satuan Kerja Contoh Demo", "Yogyakarta", "55111"),),
    ),
    SampleAccount(
        "A-1009",
        "slow@mbiz.example",
        "Salma Lambat",
        "answers after half a minute",
        (_company(2010, "Kantor Contoh Lambat", "Padang", "25111"),),
    ),
    SampleAccount(
        "A-1010",
        "down@mbiz.example",
        "Dani Mati",
        "mbizmarket is down (503) for this e-mail",
        (_company(2011, "Kantor Contoh Mati", "Palembang", "30111"),),
    ),
    SampleAccount(
        "A-1011",
        "garbled@mbiz.example",
        "Gita Kacau",
        "an HTML page comes in place of every answer",
        (_company(2012, "Kantor Contoh Kacau", "Denpasar", "80111"),),
    ),
)
