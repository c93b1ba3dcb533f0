"""The clients of docs/integrating.md, word for word: generated from the running service's document, they walk the flow.

The tools come by `make clients`, which needs node and npm; without them these tests are skipped.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.browser.processes import Demo, Person, running

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "integrating.md").read_text()
NODE_MODULES = Path(__file__).parent / "node_modules"
GENERATOR = Path(sys.prefix) / "clients" / "bin"

Client = Callable[..., subprocess.CompletedProcess[str]]  # (token, arguments of the program)
numbers = count(1)


def program(language: str) -> str:
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    return str(code)


def command(start: str) -> list[str]:
    """A command of the guide, with what stands for the service's address left in it."""
    (line,) = re.findall(rf"^(?:PATH=\S+ )?({start}.*)$", GUIDE, re.MULTILINE)
    return str(line).split()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running(tmp_path_factory.mktemp("demo")) as demo:
        demo.unused = [satker for satker in demo.unused if satker["klpd_code"] != "K92"]  # the guide's own
        yield demo


@pytest.fixture(scope="module")
def types(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what openapi-typescript makes of the running service's document."""
    if not (NODE_MODULES / ".bin").exists() or shutil.which("node") is None:
        pytest.skip("there are no node tools: make clients")
    folder = tmp_path_factory.mktemp("typescript")
    (folder / "node_modules").symlink_to(NODE_MODULES)
    _, tool, *arguments = command("npx openapi-typescript")
    run([str(NODE_MODULES / ".bin" / tool), *arguments], folder, demo)
    return folder


@pytest.fixture(scope="module")
def typescript(demo: Demo, types: Path) -> Client:
    """flow.mts, compiled by `tsc --strict`."""
    compile_strictly(types, "flow.mts", program("ts"), demo)
    return lambda token, *arguments: program_run(["node", "flow.mjs", *arguments], types, demo, token)


def compile_strictly(folder: Path, name: str, source: str, demo: Demo) -> None:
    (folder / name).write_text(source)
    _, _, *options, _ = command("npx tsc")
    run([str(NODE_MODULES / ".bin" / "tsc"), *options, name], folder, demo)


@pytest.fixture(scope="module")
def python(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """flow.py over the package that openapi-python-client makes; mypy finds that its branches narrow."""
    if not (GENERATOR / "openapi-python-client").exists():
        pytest.skip("there is no openapi-python-client: make clients")
    folder = tmp_path_factory.mktemp("python")
    (folder / "flow.py").write_text(program("python"))
    tool, *arguments = command("openapi-python-client")
    run([str(GENERATOR / tool), *arguments], folder, demo)
    run([sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "flow.py"], folder, demo)
    return lambda token, *arguments: program_run([sys.executable, "flow.py", *arguments], folder, demo, token)


def run(command: list[str], folder: Path, demo: Demo) -> None:
    environment = os.environ | {"PATH": f"{GENERATOR}:{os.environ['PATH']}"}
    address = [part.strip('"').replace("$API", demo.api) for part in command]
    done = subprocess.run(address, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def program_run(command: list[str], folder: Path, demo: Demo, token: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"API": demo.api, "TOKEN": token}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(params=["typescript", "python"])
def client(request: pytest.FixtureRequest) -> Client:
    made: Client = request.getfixturevalue(request.param)
    return made


def new_person(demo: Demo) -> Person:
    number = next(numbers)
    return Person(demo, f"pp-client-{number}", f"client+{number}@satker.example")


def walk(client: Client, person: Person, satker: dict[str, str], registered: str, email: str) -> list[str]:
    """What the program prints: each step, the address that opens mbizmarket, and the 304 of a second reading."""
    done = client(person.token(), satker["klpd_code"], satker["code"], registered, email)
    assert done.returncode == 0, done.stderr
    *steps, address, again = done.stdout.split()
    assert (True, "304") == (address.startswith(f"{person.demo.mbiz}/masuk/"), again)
    return steps


@pytest.mark.parametrize(
    ("language", "start"), [("typescript", "node flow.mjs"), ("python", "venv/bin/python flow.py")]
)
def test_following_the_guide(request: pytest.FixtureRequest, demo: Demo, language: str, start: str) -> None:
    """Its commands say Sudah and Belum; both open mbizmarket."""
    client: Client = request.getfixturevalue(language)
    person = new_person(demo)
    lines = re.findall(rf"^{re.escape(start)} (.*)$", GUIDE, re.MULTILINE)
    for arguments, expected in zip(map(shlex.split, lines), (["sudah"], ["belum", "checking"]), strict=True):
        done = client(person.token(), *arguments)
        assert done.returncode == 0, done.stderr
        assert arguments[2] == expected[0]
        assert ["ask_registered", *expected[1:], "open_mbizmarket"] == done.stdout.split()[:-2]


def test_narrowing(demo: Demo, types: Path) -> None:
    """`next_step`, `status` and `code` are unions: each line of narrowing.mts is taken, or refused, as it says."""
    source = Path(__file__).with_name("narrowing.mts").read_text()
    assert 9 == source.count("@ts-expect-error")
    compile_strictly(types, "narrowing.mts", source, demo)


def test_confirming(client: Client, demo: Demo) -> None:
    """The verified e-mail's own company is confirmed; walking again opens mbizmarket at once."""
    person, satker = new_person(demo), demo.next_satker()
    demo.account(person.email, "PT Konfirmasi")
    assert ["confirm_account", "open_mbizmarket"] == walk(client, person, satker, "sudah", "")
    assert ["open_mbizmarket"] == walk(client, person, satker, "sudah", "")


def test_logging_in(client: Client, demo: Demo) -> None:
    """Sudah, with several companies: the choice is a question that the client answers."""
    person, satker, email = new_person(demo), demo.next_satker(), f"masuk+{next(numbers)}@mbiz.example"
    demo.account(email, "PT Satu", "PT Dua")
    assert ["ask_registered", "open_mbizmarket"] == walk(client, person, satker, "sudah", email)
    colleague = new_person(demo)
    assert ["log_in", "open_mbizmarket"] == walk(client, colleague, satker, "sudah", email)


def test_registering_on_a_day_when_answers_get_lost(client: Client, demo: Demo) -> None:
    """Belum: 202 and `checking`, a wait while mbizmarket is away, and one account in the end."""
    person, satker, email = new_person(demo), demo.next_satker(), f"lost+{next(numbers)}@satker.example"
    demo.fault("find_registration", "503_before")
    steps = walk(client, person, satker, "belum", email)
    assert (["ask_registered", "checking"], "open_mbizmarket") == (steps[:2], steps[-1])
    assert {"wait"} >= set(steps[2:-1])
    assert 1 == demo.accounts_of(email)


def test_being_refused(client: Client, demo: Demo) -> None:
    """The problem comes as a value of its own, with its code and the text in the language that was asked for."""
    person, satker = new_person(demo), demo.next_satker()
    done = client(person.token(), satker["klpd_code"], satker["code"], "sudah", "nobody@mbiz.example")
    assert done.returncode == 1
    assert "invalid_credentials | The e-mail or the password is wrong." in done.stderr
    done = client(person.token(), satker["klpd_code"], satker["code"], "belum", "no-address")
    assert (
        "validation_failed | Some fields need another look. | email: This is not an e-mail address."
        in done.stderr
    )
