"""A project whose objects live in S3, then encrypted, as its user sees it on the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from tests.servers.s3 import S3

from everloop import DataVersioner, wiring
from everloop.cli import main
from everloop.core.errors import Corrupt, InvalidSettings
from everloop.flows import data, turn
from everloop.settings import load_settings

CONFIG = """
project: shop
paths:
  data_versions: s3://{bucket}/shop/data
  model_registry: s3://{bucket}/shop/models
storage:
  allow_http: true
  timeout: 10
tracking:
  enabled: false
"""
KEYS = "  encryption:\n    key_file: keys/shop.json\n"


@pytest.fixture
def home(s3: S3, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "everloop.yaml").write_text(CONFIG.format(bucket=s3_bucket))
    (tmp_path / "some.csv").write_text("age,city\n" + "".join(f"{n},secret-{n % 7}\n" for n in range(3000)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everloop(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--json"])
    output = capsys.readouterr().out
    assert (end.value.code or 0) == code, output
    return json.loads(output)


def encrypt(home: Path) -> None:
    config = (home / "everloop.yaml").read_text()
    (home / "everloop.yaml").write_text(config.replace("tracking:", f"{KEYS}tracking:"))


def stored(s3: S3, bucket: str) -> dict[str, bytes]:
    client = s3.client()
    found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {one["Key"]: client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in found}


def rows(file: Path) -> list[list[str]]:
    with file.open(newline="") as lines:
        return list(csv.reader(lines))


def test_a_day_with_s3(s3: S3, s3_bucket: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = everloop(capsys, "data", "add", "some.csv", "--dataset", "people")["version"]["version_id"]
    with_project = wiring.open_project()
    turn.run(with_project, "default", source=None, force=False)
    with_project.close()
    objects = stored(s3, s3_bucket)
    assert {key.split("/")[0:3:2] == ["shop", "default"] for key in objects} == {True}
    assert any(key.startswith("shop/data/default/") and version in key for key in objects)
    assert any(key.startswith("shop/models/default/") for key in objects)
    assert not [path for path in (home / ".everloop").rglob("*") if path.suffix in (".pack", ".manifest")]

    everloop(capsys, "data", "get", "people@latest", "--to", "back.csv")
    assert rows(home / "back.csv") == rows(home / "some.csv")
    checks = {c["name"]: c for c in everloop(capsys, "doctor")["checks"]}
    here = checks[f"objects in s3://{s3_bucket}/shop/data"]
    assert (here["ok"], here["message"]) == (True, "readable, writable, conditional writes")
    assert stored(s3, s3_bucket) == objects  # looking leaves nothing behind

    found, _ = DataVersioner(f"s3://{s3_bucket}/shop/data", dataset="people").load(version)
    assert len(found) == 3000
    with pytest.raises(InvalidSettings, match=r"not this project's paths\.data_versions"):
        DataVersioner(f"s3://{s3_bucket}/elsewhere")


def test_a_wrong_endpoint_is_said_by_every_command(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("EVERLOOP_STORAGE__RETRIES", "0")
    told = everloop(capsys, "data", "add", "some.csv", "--dataset", "people", code=50)["error"]
    assert "http://127.0.0.1:1 cannot be reached" in told["message"]
    checks = everloop(capsys, "doctor", code=5)["checks"]
    assert len([c for c in checks if c["ok"] is False and "127.0.0.1:1" in c["message"]]) >= 2


def test_encryption_is_turned_on_and_keys_change(
    s3: S3, s3_bucket: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = everloop(capsys, "data", "add", "some.csv", "--dataset", "people")["version"]["version_id"]
    plain = stored(s3, s3_bucket)
    made = everloop(capsys, "data", "keys", "new", "--file", "keys/shop.json")
    assert made["plain"] is True
    everloop(capsys, "data", "keys", "new", "--file", "keys/shop.json", code=40)
    encrypt(home)
    everloop(capsys, "data", "get", version, "--to", "before.csv")
    doctor = {c["name"]: c for c in everloop(capsys, "doctor")["checks"]}
    assert doctor["encryption"]["ok"] is None

    done = everloop(capsys, "data", "rekey")
    assert (done["resealed"], done["kept"], done["plain_refused"]) == (len(plain), 0, True)
    sealed = stored(s3, s3_bucket)
    assert sealed.keys() == plain.keys()
    assert all(made["key"].encode() in content[:64] for content in sealed.values())
    everloop(capsys, "data", "get", version, "--to", "after.csv")
    assert (home / "before.csv").read_bytes() == (home / "after.csv").read_bytes()
    assert everloop(capsys, "data", "add", "some.csv", "--dataset", "people")["new"] is False
    assert stored(s3, s3_bucket).keys() == plain.keys()  # known by its hash, though encrypted
    doctor = {c["name"]: c for c in everloop(capsys, "doctor")["checks"]}
    assert doctor["encryption"]["ok"] is True

    added = everloop(capsys, "data", "keys", "add")["keys"]
    assert added[1:] == [made["key"]]
    everloop(capsys, "data", "keys", "drop", made["key"], code=40)
    everloop(capsys, "data", "rekey")
    everloop(capsys, "data", "keys", "drop", made["key"])
    counts = {one["key"]: one["objects"] for one in everloop(capsys, "data", "keys", "--count")["keys"]}
    assert counts == {added[0]: len(plain)}
    everloop(capsys, "data", "get", version, "--to", "last.csv")

    key, content = next(iter(plain.items()))  # somebody puts a plain object back
    s3.client().put_object(Bucket=s3_bucket, Key=key, Body=content)
    told = everloop(capsys, "data", "get", version, "--to", "never.csv", code=60)["error"]
    assert key in told["message"]
    assert "is not encrypted" in told["message"]
    project = wiring.open_project()
    with pytest.raises(Corrupt, match="is not encrypted, and such objects are not accepted"):
        project.data.get(key.removeprefix("shop/data/"))
    project.close()


def test_without_its_keys_a_project_says_which_it_needs(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everloop(capsys, "data", "keys", code=21)
    made = everloop(capsys, "data", "keys", "new", "--file", "keys/shop.json")
    assert made["plain"] is False
    before = (home / "everloop.yaml").read_text()
    encrypt(home)
    everloop(capsys, "data", "add", "some.csv", "--dataset", "people")
    (home / "keys/shop.json").rename(home / "keys/old.json")
    everloop(capsys, "data", "get", "people@latest", code=12)
    told = everloop(capsys, "data", "keys", "new", code=40)["error"]
    assert made["key"] in told["message"]
    assert "--force" in told["remedy"]
    everloop(capsys, "data", "keys", "new", "--force")
    told = everloop(capsys, "data", "get", "people@latest", code=21)["error"]
    assert f"needs the key '{made['key']}'" in told["message"]
    (home / "everloop.yaml").write_text(before)
    told = everloop(capsys, "data", "get", "people@latest", code=21)["error"]
    assert "is encrypted, and the settings name no keys" in told["message"]


def test_keys_may_come_from_a_variable(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "everloop.yaml").write_text(
        (home / "everloop.yaml")
        .read_text()
        .replace("tracking:", "  encryption:\n    key_variable: SHOP_KEYS\ntracking:")
    )
    made = everloop(capsys, "data", "keys", "new")
    monkeypatch.setenv("SHOP_KEYS", made["keys"])
    everloop(capsys, "data", "add", "some.csv", "--dataset", "people")
    changed = everloop(capsys, "data", "keys", "add")
    assert everloop(capsys, "data", "keys")["keys"][0]["key"] == made["key"]  # until the variable says so
    monkeypatch.setenv("SHOP_KEYS", changed["text"])
    done = everloop(capsys, "data", "rekey")
    assert done["resealed"] > 0
    dropped = everloop(capsys, "data", "keys", "drop", made["key"])
    monkeypatch.setenv("SHOP_KEYS", dropped["text"])
    everloop(capsys, "data", "get", "people@latest")


def test_damage_in_an_encrypted_store_is_never_data(
    s3: S3, s3_bucket: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everloop(capsys, "data", "keys", "new", "--file", "keys/shop.json")
    encrypt(home)
    everloop(capsys, "data", "add", "some.csv", "--dataset", "people")
    for key, content in stored(s3, s3_bucket).items():
        for at in (70, len(content) - 1):
            broken = bytearray(content)
            broken[at] ^= 1
            s3.client().put_object(Bucket=s3_bucket, Key=key, Body=bytes(broken))
            project = wiring.connect(load_settings())
            try:
                with pytest.raises(Corrupt):
                    data.load(project, data.find(project, "people@latest"))
            finally:
                project.close()
        s3.client().put_object(Bucket=s3_bucket, Key=key, Body=content)
