"""The dashboard and the alerts name metrics and labels that exist, and each alert has its line in the runbook."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from app import metrics
from app.metrics import Metrics

ROOT = Path(__file__).parent.parent
GRAFANA = ROOT / "deploy" / "grafana"
ALERTS = yaml.safe_load((GRAFANA / "alerts.yml").read_text())
DASHBOARD = json.loads((GRAFANA / "dashboard.json").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
FROM_PROMETHEUS = {"instance", "le"}  # labels that it adds itself
PROMTOOL = shutil.which("promtool")


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in panels() for target in panel["targets"]
]


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """Labels by the names of samples, as the code makes them."""
    names = {name: set(labels) for name, (_, labels) in metrics.FIGURES.items()}
    for collector in Metrics()._registry._collector_to_names:
        (family,) = collector.collect()
        labels = set(collector._labelnames)  # type: ignore[attr-defined]
        for suffix in {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(
            family.type, [""]
        ):
            names[family.name + suffix] = labels
    return names


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_naming_metrics(expression: str, known: dict[str, set[str]]) -> None:
    """Every name and every label of a selector is one of ours."""
    selectors = re.findall(r"(satu_pp_\w+)(?:\{([^}]*)\})?", expression)
    assert selectors
    for name, labels in selectors:
        assert name in known
        assert set(re.findall(r"(\w+)\s*[=!]~?\"?", re.sub(r'"[^"]*"', "", labels))) <= known[name]
    grouped = {
        label.strip() for labels in re.findall(r"\bby \(([^)]*)\)", expression) for label in labels.split(",")
    }
    assert grouped <= FROM_PROMETHEUS.union(*(known[name] for name, _ in selectors))


def test_showing_every_metric(known: dict[str, set[str]]) -> None:
    """The dashboard leaves nothing out that is counted."""
    shown = set(re.findall(r"satu_pp_\w+", json.dumps(DASHBOARD)))
    assert not [name for name in known if not name.endswith(("_bucket", "_sum")) and name not in shown]


def test_finding_an_alert_in_the_runbook() -> None:
    """Under its own name, which its annotation leads to; and no line is about an alert that is gone."""
    page = (ROOT / "docs" / "operations.md").read_text()
    told = re.findall(r"^#### (SatuPp\w+)$", page, re.MULTILINE)
    assert [rule["alert"] for rule in RULES] == told
    assert [f"docs/operations.md#{rule['alert'].lower()}" for rule in RULES] == [
        rule["annotations"]["runbook"] for rule in RULES
    ]
    assert {"page", "ticket"} == {rule["labels"]["severity"] for rule in RULES}


def test_telling_panels_apart() -> None:
    """Ids and places are each panel's own, and a legend names labels that its query keeps."""
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert (len(ids), len(ids)) == (len(set(ids)), len(set(places)))
    for target in (target for panel in panels() for target in panel["targets"]):
        kept = re.search(r"\bby \(([^)]*)\)", target["expr"])
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert named <= set((kept[1] if kept else "").replace(" ", "").split(","))


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: apt install prometheus)")
def test_asking_prometheus_itself(tmp_path: Path) -> None:
    """It takes the rules, raises each alert at the moments it is for, and understands every panel's query."""
    queries = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(EXPRESSIONS)
    ]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": queries}]}))
    for check in (
        ["check", "rules", str(GRAFANA / "alerts.yml")],
        ["check", "rules", str(tmp_path / "panels.yml")],
        ["test", "rules", str(GRAFANA / "alerts_test.yml")],
    ):
        done = subprocess.run([str(PROMTOOL), *check], capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stdout + done.stderr
