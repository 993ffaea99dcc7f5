"""A real Prometheus for tests: what it makes of metrics, and what it has scraped."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.servers import free_port, missing

_CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: {rules}
scrape_configs:
  - job_name: everloop
    metrics_path: /prometheus_metrics
    static_configs: [{{targets: ["{target}"]}}]
"""


def complaints(metrics: bytes) -> str:
    """What ``promtool check metrics`` says of a page of metrics: nothing is good."""
    done = subprocess.run([_program("promtool"), "check", "metrics"], input=metrics, capture_output=True)
    return (done.stdout + done.stderr).decode() or ("" if done.returncode == 0 else "no reason given")


def judged(command: str, file: Path) -> str:
    """What ``promtool check rules`` or ``test rules`` (and so on) says; raises where it is not content."""
    program = [_program("promtool"), *command.split(), str(file)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Prometheus:
    address: str

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series, now."""
        with urlopen(f"{self.address}/api/v1/query?{urlencode({'query': expression})}", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def wait_for(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The same, as soon as there is something."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if found := self.query(expression):
                    return found
            except (URLError, OSError):
                pass
            time.sleep(0.1)
        raise AssertionError(f"Prometheus has nothing for {expression}")


@contextmanager
def scraping(target: str, rules: Path | None = None) -> Iterator[Prometheus]:
    """A Prometheus that asks ``target`` (host:port) every second, and evaluates a file of rules."""
    program = _program("prometheus")
    folder = Path(tempfile.mkdtemp(prefix="everloop-prometheus-"))
    port = free_port()
    (folder / "prometheus.yml").write_text(
        _CONFIG.format(target=target, rules=json.dumps([str(rules)] if rules else []))
    )
    options = [
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    process = subprocess.Popen(
        [program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing("Prometheus", "prometheus")
    return found
