"""What is in deploy/ fits the service that it is for: settings, user, version, paths, and the time to stop."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from app.docs import FILES
from app.main import document
from app.settings import Settings

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
K8S = [
    manifest
    for path in sorted((DEPLOY / "k8s").glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text())
]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SECRETS = {
    "DATABASE_URL": "postgresql+asyncpg://satker:x@one,two/satker",
    "APP_SECRET": "s" * 40,
    "MBIZ_CLIENT_ID": "satu-pp",
    "MBIZ_CLIENT_SECRET": "x",
    "RATE_LIMIT_STORAGE": "redis://redis/0",
}


def the(kind: str) -> Any:
    (found,) = (manifest for manifest in K8S if manifest["kind"] == kind)
    return found


def pod(kind: str) -> Any:
    return the(kind)["spec"]["template"]["spec"]


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_the_settings_of_kubernetes_start_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """In production, with what configuration.yaml says a secret has to have, and no name that nobody reads."""
    said = (DEPLOY / "k8s/configuration.yaml").read_text()
    configured = the("ConfigMap")["data"]
    assert all(name in said for name in SECRETS)
    assert set() == {name.lower() for name in configured} - set(Settings.model_fields)
    for name, value in (configured | SECRETS).items():
        monkeypatch.setenv(name, value)
    assert not Settings(_env_file=None).development  # type: ignore[call-arg]


def test_the_settings_of_compose_are_those_that_are_needed() -> None:
    """service.env.example has all without a default; compose.yaml gives no name that nobody reads."""
    example = set(re.findall(r"^(\w+)=", (DEPLOY / "service.env.example").read_text(), re.MULTILINE))
    given = set(COMPOSE["services"]["service"]["environment"])
    needed = {name.upper() for name, field in Settings.model_fields.items() if field.is_required()}
    assert set() == {name.lower() for name in example | given} - set(Settings.model_fields)
    assert set() == needed - example


def test_running_requests_may_end() -> None:
    """Whoever stops a replica waits for longer than the replica itself: one deadline and 2 seconds."""
    default = Settings.model_fields["mbiz_deadline_seconds"].default
    assert seconds(COMPOSE["services"]["service"]["stop_grace_period"]) > default + 2
    (container,) = pod("Deployment")["containers"]
    drained = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    deadline = int(the("ConfigMap")["data"]["MBIZ_DEADLINE_SECONDS"])
    assert pod("Deployment")["terminationGracePeriodSeconds"] > drained + deadline + 2


def test_the_proxy_waits_for_the_longest_answer() -> None:
    """Its own 504 would be none that a front end understands."""
    configuration = (DEPLOY / "haproxy.cfg").read_text()
    longest = 60  # MBIZ_DEADLINE_SECONDS
    with pytest.raises(ValueError, match="less than or equal to 60"):
        Settings(_env_file=None, mbiz_deadline_seconds=longest + 1)  # type: ignore[call-arg]
    waits = dict(re.findall(r"timeout (\w+) (\d+)s", configuration))
    assert longest < int(waits["server"]) < int(waits["client"])


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_a_pod_is_nobody_and_may_do_nothing(kind: str) -> None:
    """The image's own user, no capabilities, nothing to write to, no token of the cluster."""
    *_, (user, group) = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    spec = pod(kind)
    context = spec["securityContext"]
    assert (True, int(user), int(group)) == tuple(
        context[name] for name in ("runAsNonRoot", "runAsUser", "runAsGroup")
    )
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        rights = container["securityContext"]
        assert (False, True, {"drop": ["ALL"]}) == (
            rights["allowPrivilegeEscalation"],
            rights["readOnlyRootFilesystem"],
            rights["capabilities"],
        )


def test_one_version_everywhere() -> None:
    """The image that is built is the one that is run, and migrated with."""
    images = {container["image"] for kind in ("Deployment", "Job") for container in pod(kind)["containers"]}
    assert {f"satu-pp-multi-satker:{VERSION}"} == images
    assert f"satu-pp-multi-satker:${{VERSION:-{VERSION}}}" == COMPOSE["services"]["service"]["image"]
    assert VERSION in the("Job")["metadata"]["name"]
    assert f"\n## {VERSION} " in (ROOT / "CHANGELOG.md").read_text()


def test_probes_ask_what_there_is() -> None:
    """Open paths of the published document; alive and ready are two questions."""
    (container,) = pod("Deployment")["containers"]
    paths = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")
    }
    assert {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"} == paths
    published: Any = document()["paths"]
    assert set(paths.values()) <= set(published)


def test_the_proxy_is_trusted_where_it_comes_from() -> None:
    """It meets the replicas on one network alone, whose addresses are the trusted ones; or all seem one."""
    services, networks = COMPOSE["services"], COMPOSE["networks"]
    (shared,) = set(services["proxy"]["networks"]) & set(services["service"]["networks"])
    (subnet,) = networks[shared]["ipam"]["config"]
    assert subnet["subnet"] == services["service"]["environment"]["TRUSTED_PROXIES"]


def test_the_public_gets_the_api_and_its_description() -> None:
    """Every path of the service but what is for those who run it."""
    ((rule,), (entry,)) = the("Ingress")["spec"]["rules"], the("Service")["spec"]["ports"]
    opened = {path["path"] for path in rule["http"]["paths"]}
    served = {"/" + path.split("/")[1] for path in document()["paths"]} | {"/docs", "/openapi.json", FILES}
    assert served - {"/readyz", "/metrics"} == opened
    assert {("satu-pp", entry["name"])} == {
        (backend["name"], backend["port"]["name"])
        for backend in (path["backend"]["service"] for path in rule["http"]["paths"])
    }
    (container,) = pod("Deployment")["containers"]
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert the("ConfigMap")["data"]["METRICS_PORT"] == ports["metrics"] != ports[entry["targetPort"]]
