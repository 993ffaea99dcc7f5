"""Write deploy/grafana/*.json from dashboards.yaml beside them: ``python -m scripts.make_dashboards``. A test
compares the two, and runs every query against a real Prometheus that scraped a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "grafana"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 12, 8  # of a panel; a dashboard is 24 wide


def files() -> Iterator[tuple[Path, str]]:
    told = yaml.safe_load((FOLDER / "dashboards.yaml").read_text(encoding="utf-8"))
    for name, dashboard in told.items():
        document = json.dumps(_document(name, dashboard), indent=2, ensure_ascii=False)
        yield FOLDER / f"{name}.json", f"{document}\n"


def _document(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": f"everloop-{name}",
        "title": told["title"],
        "tags": ["everloop"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source, *(_variable(*one) for one in told.get("variables", {}).items())]},
        "panels": [_panel(number, panel) for number, panel in enumerate(told["panels"])],
    }


def _variable(name: str, metric: str) -> dict[str, Any]:
    """The values of the label of its name, all of them at first."""
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": f"label_values({metric}, {name})",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, told: Mapping[str, Any]) -> dict[str, Any]:
    kind = told.get("kind", "timeseries")
    as_table = {"instant": True, "format": "table"} if kind == "table" else {}
    return {
        "id": number + 1,
        "title": told["title"],
        "description": told.get("about", ""),
        "type": kind,
        "datasource": SOURCE,
        "gridPos": {"x": WIDTH * (number % 2), "y": HEIGHT * (number // 2), "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": told.get("unit", "short")}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            | as_table
            for place, (expression, legend) in enumerate(told["queries"])
        ],
    }


if __name__ == "__main__":
    for path, text in files():
        path.write_text(text, encoding="utf-8")
