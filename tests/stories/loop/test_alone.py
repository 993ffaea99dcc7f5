"""A server that nobody watches: the world has changed, it learns, shows the new version to some, promotes it,
and no request fails; then a feed breaks, and it learns nothing."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from tests.stories.loop.test_loop import in_cents
from tests.stories.loop.town import MODEL, Town, turned
from tests.stories.serving.server import Server, request, running

from everloop.data.examples.customers import customers

PATIENCE = 240.0  # seconds, until the test gives up
RELEASE = {
    "steps": [0.5],
    "dwell": "1s",
    "measures": {"accuracy": 0.1},
    "label_delay": "0s",
    "burn_in": 50,
    "longest": "60d",
}
DAYS = 9


class Today(Town):
    """Its last day has just ended."""

    begin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)

    @classmethod
    def tree(cls, **retraining: Any) -> dict[str, Any]:
        made = super().tree(**{"rollout": "canary", **retraining})
        made["models"][MODEL]["release"] = RELEASE
        return made


@contextlib.contextmanager
def asked(server: Server, names: list[str]) -> Iterator[Counter[tuple[int, str, str]]]:
    """All the time somebody asks, and says soon after what came true. Statuses, versions and variants."""
    found: Counter[tuple[int, str, str]] = Counter()
    stopped = threading.Event()

    def ask() -> None:
        number = 0
        with contextlib.closing(server.connect()) as line:
            while not stopped.is_set():
                table = customers(50, 50_000 + number)
                number += 1
                known = []
                for row, truth in zip(table.select(names).to_pylist(), turned(table), strict=True):
                    plain = {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()}
                    line.send(request("POST", f"/models/{MODEL}/predict", {"features": plain}))
                    answer = line.answer()
                    told = answer.json
                    found[answer.status, told.get("model_version", ""), told.get("variant", "")] += 1
                    if answer.status == 200:
                        known.append({"prediction_id": told["prediction_id"], "label": truth})
                line.send(request("POST", "/labels", {"labels": known}))
                assert line.answer().status == 200

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield found
    finally:
        stopped.set()
        asking.join()


def test_it_keeps_the_model_right_with_nobody_watching(tmp_path: Path) -> None:
    town = Today(tmp_path)
    names = town.features()
    for day in range(DAYS):
        town.day_of(turned) if day > 1 else town.day_of()
    town.look()
    assert [alert.status for alert in town.alerts()] == ["open"]
    town.close()
    (tmp_path / "everloop.yaml").write_text(yaml.safe_dump(Today.tree()))

    with running(tmp_path) as server, asked(server, names) as found:
        end = time.monotonic() + PATIENCE
        while True:
            decided = server.ask("GET", f"/decisions?model={MODEL}").json["decisions"]
            done = [one for one in decided if one["outcome"] and one["run_id"]]
            if done:
                break
            assert time.monotonic() < end, (decided, server.errors)
            time.sleep(0.5)
        time.sleep(2.0)
    (record,) = done
    assert (record["code"], record["outcome"]) == ("changed_world", "promoted"), record
    assert len(record["releases"]) == 1
    assert {status for status, _, _ in found} == {200}
    assert {variant for _, _, variant in found} >= {"champion", "canary", "control"}
    assert found[200, record["version"], "champion"] > 0

    town = Today(tmp_path, known=True)
    assert [alert.status for alert in town.alerts()] == ["open"]  # one, of all that happened
    before = len(town.decisions())
    town.live(3, turned, in_cents)
    after = town.decisions()[before:]
    assert "broken_feed" in {one.code for one in after}
    assert not [one for one in after if one.run_id]
    assert town.version == record["version"]
    town.close()
