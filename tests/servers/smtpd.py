"""An SMTP server: ``python -m tests.servers.smtpd PORT USER PASSWORD FOLDER ANSWER``: letters go into the
folder as files, unless ANSWER refuses them."""

from __future__ import annotations

import itertools
import signal
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


class Box:
    def __init__(self, folder: Path, answer: str) -> None:
        self._folder, self._answer = folder, answer
        self._numbers = itertools.count()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's)
        if not self._answer.startswith("2"):
            return self._answer
        named = " ".join([f"{next(self._numbers):04}", envelope.mail_from, *envelope.rcpt_tos])
        draft = self._folder.parent / f"{self._folder.name}.draft"
        draft.write_bytes(envelope.content)
        draft.rename(self._folder / f"{named}.eml")
        return self._answer


def main(port: str, user: str, password: str, folder: str, answer: str) -> None:
    known = LoginPassword(user.encode(), password.encode())

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        return AuthResult(success=given == known, handled=False)

    options = {"authenticator": check, "auth_required": True, "auth_require_tls": False}
    Controller(Box(Path(folder), answer), hostname="127.0.0.1", port=int(port), **options).start()
    print("ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
