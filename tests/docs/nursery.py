"""A process that has everything imported and forks a child per ``everloop`` command, from any shell.

``python -m tests.docs.nursery SOCKET`` listens. The script ``everloop`` that ``write_command`` makes sends it
a command's arguments, folder, environment and open files, and leaves with the child's exit code. A command is
a process of its own, as it is for a user; only the seconds that its imports would take are saved.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
import sys
import traceback
from importlib import import_module
from pathlib import Path

from tests.warm import warm

_IMPORTS = (
    "settings",
    "wiring",
    "flows.steps",
    "flows.turn",
    "cli.application",
    "sdk.running",
    "worker.jobs",
)
_ALSO = ("alembic.command", "everloop.adapters.onnx.graph", "sklearn.linear_model")
_CLIENT = """#!{python} -IS
import array, json, os, socket, struct, sys
if sys.argv[1:2] in (["serve"], ["up"]):  # sent signals: it has to be the process that the shell knows
    os.execv({own!r}, [{own!r}, *sys.argv[1:]])
line = socket.socket(socket.AF_UNIX)
line.connect({socket!r})
told = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
files = array.array("i", [0, 1, 2])
line.sendmsg([struct.pack("!I", len(told))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
line.sendall(told)
answer = line.recv(4)
sys.exit(struct.unpack("!i", answer)[0] if answer else 70)
"""


def write_command(folder: Path, address: str) -> None:
    """Make ``folder/everloop``, which calls the nursery at ``address``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "everloop"
    own = str(Path(sys.executable).parent / "everloop")
    path.write_text(_CLIENT.format(python=sys.executable, own=own, socket=address))
    path.chmod(0o755)


def main(address: str) -> None:
    for name in _IMPORTS:
        import_module(f"everloop.{name}")
    for name in (*import_module("everloop.worker.jobs").LATE, *_ALSO):  # what a training comes to
        import_module(name)
    warm()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    print("ready", flush=True)
    while True:
        line, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _answer(line)
        line.close()
        while _reap():
            pass


def _reap() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _answer(line: socket.socket) -> None:
    """In the child: run the command with the caller's files, folder and environment; tell its exit code."""
    files = array.array("i")
    size, received, _, _ = line.recvmsg(4, socket.CMSG_LEN(3 * files.itemsize))
    for _, _, content in received:
        files.frombytes(content)
    told = b""
    while len(told) < struct.unpack("!I", size)[0]:
        told += line.recv(1 << 16)
    arguments, folder, environment = json.loads(told)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    line.sendall(struct.pack("!i", _run(arguments)))
    os._exit(0)


def _run(arguments: list[str]) -> int:
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, m) for n, m in ((0, "r"), (1, "w"), (2, "w")))
    try:
        import_module("everloop.cli").main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 (the child ends here, whatever it was)
        traceback.print_exc()
        return 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    main(sys.argv[1])
