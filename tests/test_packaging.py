"""What is shipped: pinned by hash, from no registry in particular, and run as nobody in particular."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Read from left to right, so that this file does not find itself.
REGISTRIES = re.compile(
    r"py" r"pi\.(?:org|python\.org)|files\.python" r"hosted\.org|registry\.np" r"mjs\.org"
    r"|--(?:extra-)?index" r"-url[= ]+\S*//|^\s*(?:extra-)?index" r"-url\s*=|--trusted" r"-host|--find" r"-links",
    re.MULTILINE,
)  # fmt: skip


@pytest.mark.parametrize("name", ["run.txt", "dev.txt", "../deploy/requirements.txt"])
def test_requirements_are_pinned(name: str) -> None:
    """Each names one version and the hashes of its files; pip then takes nothing else."""
    text = (ROOT / "requirements" / name).read_text()
    lines = re.sub(r"^\s*#.*\n|\\\n", "", text, flags=re.MULTILINE).splitlines()

    assert len(lines) > 20
    pinned = re.compile(r"[\w.-]+(\[[\w,-]+\])?==[\w.!+]+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*")
    assert [] == [line for line in lines if not pinned.fullmatch(line)]


def test_development_runs_what_is_shipped() -> None:
    """A version that is tested is the version that runs; what looks at it is installed beside it and changes none."""
    run, dev, deploy = (
        dict(re.findall(r"^([\w.-]+(?:\[\S+\])?)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements/run.txt", "requirements/dev.txt", "deploy/requirements.txt")
    )

    assert len(run) > 20
    assert set() == run.items() - dev.items()
    assert {name: dev[name] for name in deploy.keys() & dev} == {
        name: deploy[name] for name in deploy.keys() & dev
    }


def test_no_file_names_a_registry() -> None:
    """Whoever builds this chooses where packages come from."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout")
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    paths = [ROOT / os.fsdecode(path) for path in listing.stdout.split(b"\0") if path]

    assert ROOT / "pyproject.toml" in paths
    assert [] == [
        path for path in paths if path.is_file() and REGISTRIES.search(path.read_text(errors="replace"))
    ]


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    """Kubernetes' runAsNonRoot can judge numbers only; the last USER of the last stage counts."""
    *_, stage = re.split(r"^FROM ", dockerfile(), flags=re.MULTILINE)
    users = re.findall(r"^USER (.+)$", stage, re.MULTILINE)

    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])


@pytest.mark.parametrize("instruction", ["CMD", "HEALTHCHECK .* CMD"])
def test_the_image_starts_without_a_shell(instruction: str) -> None:
    """In exec form signals reach the service, and nothing is expanded."""
    (command,) = re.findall(rf"^{instruction} (.+)$", dockerfile(), re.MULTILINE)
    words = json.loads(command)

    assert "python" == words[0]
    assert all(isinstance(word, str) for word in words)


def test_the_image_installs_by_hash() -> None:
    """Every installation, and from the file that a test has looked at."""
    installs = re.findall(r"pip install (.+?)(?: &&|$)", dockerfile(), re.MULTILINE)

    assert [True] * len(installs) == ["--require-hashes" in install for install in installs]
    assert ["requirements/run.txt"] == [install.split()[-1] for install in installs]


def dockerfile() -> str:
    return re.sub(r" *\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
