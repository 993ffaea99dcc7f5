"""Processes that store the same objects at once, and one that is killed while it stores."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from everloop.adapters.blobs.encrypted import EncryptedBlobs
from everloop.adapters.blobs.keys import Key, Keyring
from everloop.adapters.blobs.local import LocalBlobs
from everloop.adapters.blobs.names import is_draft

_PREPARE = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from everloop.adapters.blobs.encrypted import EncryptedBlobs
from everloop.adapters.blobs.keys import Key, Keyring
from everloop.adapters.blobs.local import LocalBlobs
from everloop.adapters.blobs import rekeying
root = Path(sys.argv[1])
old, new = (Key(bytes([n]) * 32, datetime(2026, 1, 1, tzinfo=UTC)) for n in (1, 2))
"""
_STORE = """
sys.stdin.read(1)
blobs = LocalBlobs(root)
for number in range(300):
    blobs.put(f"t/{number}", b"%d " % number * 1000)
"""
_DIE = """
seen = 0
for name in ("fsync", "open", "link", "unlink", "replace", "rename", "mkdir"):
    def counted(*given, _real=getattr(os, name), **named):
        global seen
        seen += 1
        if seen == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return _real(*given, **named)
    setattr(os, name, counted)
blobs = EncryptedBlobs(LocalBlobs(root, sealed=True), Keyring((new, old)))
blobs.put("t/new/object", b"whole" * 30_000)
rekeying.rekey([blobs], "t/", lambda *_: None)
print(seen)
"""


def _start(script: str, *given: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _PREPARE + script, *map(str, given)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_processes_that_put_the_same_keys_at_once_all_succeed(tmp_path: Path) -> None:
    writers = [_start(_STORE, tmp_path) for _ in range(4)]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"!")
        writer.stdin.flush()
    assert [writer.wait(60) for writer in writers] == [0] * 4
    for writer in writers:
        writer.communicate()
    blobs = LocalBlobs(tmp_path)
    for number in range(300):
        assert blobs.get(f"t/{number}") == b"%d " % number * 1000
    assert not [path for path in tmp_path.rglob("*") if is_draft(path.name)]


def test_killed_at_any_operation_objects_are_whole_and_drafts_are_swept(tmp_path: Path) -> None:
    """In each moment an object is there whole, under its old or its new key, or not yet."""
    old, new = (Key(bytes([n]) * 32, datetime(2026, 1, 1, tzinfo=UTC)) for n in (1, 2))
    seeds = {f"t/{name}": name.encode() * 20_000 for name in ("a", "b")}
    drafts = 0
    moments = 0
    for moment in range(1, 100):
        root = tmp_path / str(moment)
        before = EncryptedBlobs(LocalBlobs(root, sealed=True), Keyring((old,)))
        for key, content in seeds.items():
            before.put(key, content)
        dying = _start(_DIE, root, moment)
        output, _ = dying.communicate(timeout=60)
        after = EncryptedBlobs(LocalBlobs(root, sealed=True), Keyring((new, old)))
        assert all(after.get(key) == content for key, content in seeds.items())
        if after.exists("t/new/object"):
            assert after.get("t/new/object") == b"whole" * 30_000
        drafts += len([path for path in root.rglob("*") if is_draft(path.name)])
        after.sweep_drafts(datetime.now(UTC) + timedelta(seconds=1))
        assert {path.name for path in root.rglob("*") if path.is_file()} <= {"a", "b", "object"}
        if dying.returncode == 0:
            assert moment > int(output)
            break
        assert dying.returncode == -signal.SIGKILL
        moments += 1
    assert moments > 15
    assert drafts > 5
