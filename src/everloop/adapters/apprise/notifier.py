"""A channel that the ``apprise`` library knows: mailto://, slack://, msteams:// and a hundred more."""

from __future__ import annotations

import logging
import re
import warnings
from contextvars import ContextVar
from importlib import import_module
from typing import Any

from everloop.adapters.deadline import within
from everloop.core.errors import InvalidSettings, MissingExtra, Unavailable
from everloop.core.monitoring import Message
from everloop.settings import masked

_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}
_MAIL = ("mailto", "mailtos")
_LEAST = 3  # characters: shorter parts of an address say nothing, and stand in every text


_ANSWER = re.compile(r"""\((\d{3}), b(['"])(.*?)\2\)""")  # of an SMTP server, as its library writes it

_HEARD: ContextVar[list[str] | None] = ContextVar("heard", default=None)  # the library hands contexts on


class _Reasons(logging.Filter):
    """Hears why a letter was not taken. The library says so below the level of warnings, among lines with
    addresses and bodies: none of those gets any further."""

    _BEGINS = "Socket Exception: "

    def listen(self) -> list[str]:
        """Where what this thread, and those that work for it, hear from now on is put."""
        logger = logging.getLogger("apprise")
        logger.addFilter(self)  # once, however often it is called
        logger.setLevel(logging.DEBUG)
        heard: list[str] = []
        _HEARD.set(heard)
        return heard

    def filter(self, record: logging.LogRecord) -> bool:
        said, heard = record.getMessage(), _HEARD.get()
        if heard is not None and said.startswith(self._BEGINS):
            said = said.removeprefix(self._BEGINS)
            answer = _ANSWER.search(said)
            heard.append(f"{answer[1]} {answer[3]}" if answer else said)
        return record.levelno >= logging.WARNING


_REASONS = _Reasons()


class AppriseNotifier:
    """Raises MissingExtra without the library, InvalidSettings for an address that it does not know."""

    def __init__(self, address: str, timeout: float) -> None:
        library = _library()
        self._address, self._timeout = address, timeout
        asset = library.AppriseAsset(app_id="Everloop", app_desc="Everloop", app_url="", async_mode=False)
        asset.http_redirects = False  # the text would go to another host, or be lost on the way
        self._channels = library.Apprise(asset=asset)
        with (
            library.LogCapture(level=logging.ERROR),
            warnings.catch_warnings(),
        ):  # it tells addresses on stderr
            warnings.simplefilter("ignore", DeprecationWarning)  # of what it imports, all of it now
            if not self._channels.add(address):
                raise InvalidSettings(
                    f"apprise knows no address like {masked(address)}, or it lacks a part.",
                    remedy="Correct it in alerts.channels; see docs/how-to/alerts.md.",
                )

    def send(self, message: Message) -> None:
        kind = "success" if message.event == "closed" else _TYPES[message.level]
        said: list[str] = []
        done = within(self._timeout, lambda: self._notify(message, kind, said))
        if not done:
            why = f": {said[0]}" if said else ""
            raise Unavailable(
                f"{masked(self._address)} did not take the message{why}",
                remedy="Check its address and password in alerts.channels.",
            )

    def _notify(self, message: Message, kind: str, said: list[str]) -> bool:
        mail = self._address.partition("://")[0].lower() in _MAIL
        with _library().LogCapture(level=logging.WARNING, fmt="%(message)s") as log:
            heard = _REASONS.listen() if mail else []
            try:
                done = self._channels.notify(
                    body=message.text, title=message.title, notify_type=kind, body_format="text"
                )
            except Exception as error:  # noqa: BLE001 (a hundred services: whatever it was, it is tried again)
                said.append(type(error).__name__)
                return False
            lines = log.getvalue().splitlines()[-1:]
        if heard:
            lines = [": ".join([*(line.rstrip(".") for line in lines), heard[-1]])]
        said += [_without(self._address, line) for line in lines]
        return bool(done)


def _library() -> Any:
    try:
        return import_module("apprise")
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "apprise", "alerts") from error


def _without(address: str, text: str) -> str:
    """A text without any part of an address: each of them may be a secret."""
    rest = address.partition("://")[2]
    for part in sorted(re.split(r"[/@:?&=,]+", rest), key=len, reverse=True):
        if len(part) >= _LEAST:
            text = text.replace(part, "…")
    return text[:300]
