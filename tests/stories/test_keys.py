"""The keys of two tenants who share a storage: nobody's objects are locked out, and there is a way back."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.stories.test_cli import everloop

CONFIG = """
project: shop
tracking:
  enabled: false
"""
ENCRYPTED = """
storage:
  encryption:
    key_file: keys.json
"""
NORTH = ("--tenant", "north")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Two tenants with a version each, stored before there was a key."""
    (tmp_path / "everloop.yaml").write_text(CONFIG)
    (tmp_path / "some.csv").write_text("age,city\n" + "".join(f"{n},c{n % 7}\n" for n in range(30)))
    (tmp_path / "other.csv").write_text("age,city\n" + "".join(f"{n},d{n % 5}\n" for n in range(40)))
    assert everloop(tmp_path, "data", "add", "some.csv", "--dataset", "people").code == 0
    assert everloop(tmp_path, *NORTH, "data", "add", "other.csv", "--dataset", "people").code == 0
    assert everloop(tmp_path, "data", "keys", "new", "--file", "keys.json").code == 0
    (tmp_path / "everloop.yaml").write_text(CONFIG + ENCRYPTED)
    return tmp_path


def test_no_tenants_plain_objects_are_locked_out_by_another(shop: Path) -> None:
    refused = everloop(shop, "data", "keys", "drop", "plain")
    assert (refused.code, "need 'plain', of default, north." in refused.err) == (40, True)
    rekeyed = everloop(shop, "data", "rekey")
    assert "Beside this tenant there is: north." in rekeyed.out
    refused = everloop(shop, "data", "keys", "drop", "plain")
    assert (refused.code, "need 'plain', of north." in refused.err) == (40, True)
    assert "everloop --tenant north data rekey" in refused.err
    assert everloop(shop, *NORTH, "data", "get", "people@latest", "--to", "back.csv").code == 0
    assert everloop(shop, *NORTH, "data", "rekey").code == 0
    assert everloop(shop, "data", "keys", "drop", "plain").out == "plain dropped.\n"
    assert everloop(shop, *NORTH, "data", "verify", "--full").code == 0


def test_plain_objects_are_accepted_again_when_asked(shop: Path) -> None:
    assert everloop(shop, "data", "rekey").code == 0
    assert everloop(shop, "data", "keys", "drop", "plain", "--force").code == 0
    assert everloop(shop, *NORTH, "data", "verify", "--full").code != 0
    assert "accepted again" in everloop(shop, "data", "keys", "accept", "plain").out
    assert everloop(shop, *NORTH, "data", "verify", "--full").code == 0
    assert everloop(shop, *NORTH, "data", "rekey").code == 0
    assert everloop(shop, "data", "keys", "drop", "plain").code == 0
    assert everloop(shop, *NORTH, "data", "verify", "--full").code == 0


def test_only_plain_is_accepted_and_only_plain_is_dropped_by_force(shop: Path) -> None:
    assert everloop(shop, "data", "keys", "accept", "3fkq7a2m").code == 20
    assert everloop(shop, "data", "keys", "accept").code == 20
    assert everloop(shop, "data", "rekey").code == 0
    first = everloop(shop, "data", "keys").out.split("\n")[1].split()[0]
    assert everloop(shop, "data", "keys", "add").code == 0
    refused = everloop(shop, "data", "keys", "drop", first, "--force")
    assert (refused.code, f"need '{first}', of default." in refused.err) == (40, True)
