"""The real parts that other tests stand on: are they real, apart from each other, and gone afterwards?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest
from botocore.exceptions import ClientError

from tests.servers import chromium, missing
from tests.servers.postgres import Postgres, postgres_server
from tests.servers.s3 import S3, s3_server


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.replace("postgresql+psycopg", "postgresql"))


@pytest.mark.postgres
def test_each_database_is_fresh_and_apart(postgres: Postgres, postgres_database: str) -> None:
    with connect(postgres_database) as connection:
        connection.execute("CREATE TABLE here (id int)")
    with postgres.database() as other, connect(other) as connection:
        assert connection.execute("SELECT to_regclass('here')").fetchone() == (None,)


@pytest.mark.postgres
def test_a_server_ends_with_its_connections_and_leaves_nothing() -> None:
    with postgres_server() as server:
        left_open = connect(server.url())
        assert psutil.pid_exists(server.pid)
    assert not psutil.pid_exists(server.pid)
    assert not server.folder.exists()
    with pytest.raises(psycopg.OperationalError):
        left_open.execute("SELECT 1")
    left_open.close()


def test_an_s3_server_keeps_objects_writes_on_condition_and_asks_for_credentials(s3: S3) -> None:
    client, bucket = s3.client(), s3.new_bucket()
    client.put_object(Bucket=bucket, Key="a/b", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=bucket, Key="a/b", Body=b"second", IfNoneMatch="*")
    assert client.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"first"
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        replace(s3, access_key="nobody").client().list_objects_v2(Bucket=bucket)


def test_an_s3_server_ends_and_leaves_nothing() -> None:
    with s3_server() as server:
        assert psutil.pid_exists(server.pid)
    assert not psutil.pid_exists(server.pid)
    assert not server.folder.exists()


def test_the_browser_runs_scripts_and_draws(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p id=p>before</p><script>document.getElementById('p').textContent = 6 * 7</script>")
    assert '<p id="p">42</p>' in chromium.dump_dom(page)
    picture = chromium.screenshot(page, tmp_path / "page.png", width=300, height=200)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [("true", pytest.fail.Exception), ("", pytest.skip.Exception), (None, pytest.skip.Exception)],
)
def test_a_missing_part_fails_in_ci_and_skips_elsewhere(
    monkeypatch: pytest.MonkeyPatch, ci: str | None, outcome: type[BaseException]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="Flux capacitor is not installed"):
        missing("Flux capacitor", "flux")
