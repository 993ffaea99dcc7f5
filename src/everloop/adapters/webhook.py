"""A webhook that takes CloudEvents 1.0: one JSON document per message, structured mode.

https://github.com/cloudevents/spec, ``spec.md`` and ``bindings/http-protocol-binding.md``.
"""

from __future__ import annotations

import json
from base64 import b64encode
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import quote, unquote, urlsplit

from everloop.adapters.deadline import within
from everloop.core.errors import InvalidSettings, Refused, Unavailable
from everloop.core.monitoring import Message

PREFIX = "cloudevents+"
MEDIA_TYPE = "application/cloudevents+json; charset=utf-8"
_WRITTEN = "/?&=%:@!$'()*+,;~-._"  # of a path and a query, that stands there as it is
_REMEDY = "Look at the receiver, and at the address in alerts.channels."
_AGAIN = (408, 425, 429)  # of those that blame the request, the ones that may change


class Webhook:
    """``cloudevents+https://host/path``, or ``+http``. Raises InvalidSettings."""

    def __init__(self, address: str, timeout: float) -> None:
        try:
            self._parts = urlsplit(address.removeprefix(PREFIX))
            self._port = self._parts.port
            self._host = (self._parts.hostname or "").encode("idna").decode("ascii")
        except ValueError:  # a port or a name that cannot be
            self._parts, self._port, self._host = urlsplit(""), None, ""
        if self._parts.scheme not in ("http", "https") or not self._host:
            raise InvalidSettings(
                "The address of a webhook is none.", remedy=f"Write it as {PREFIX}https://host/path."
            )
        self._timeout = timeout

    def send(self, message: Message) -> None:
        status = within(self._timeout, lambda: self._post(envelope(message)))
        if 200 <= status < 300:
            return
        if 400 <= status < 500 and status not in _AGAIN:
            raise Refused(f"{self._host} refuses the message: {status}.")
        raise Unavailable(f"{self._host} answered {status}.", remedy=_REMEDY)

    def _post(self, body: bytes) -> int:
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout)
        path = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        headers = {"Content-Type": MEDIA_TYPE, "User-Agent": "everloop"}
        if self._parts.username is not None:
            named = f"{unquote(self._parts.username)}:{unquote(self._parts.password or '')}"
            headers["Authorization"] = f"Basic {b64encode(named.encode()).decode()}"
        try:
            connection.request("POST", quote(path, safe=_WRITTEN), body, headers)
            return connection.getresponse().status
        except (OSError, HTTPException) as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"{self._host} cannot be reached: {why}.", remedy=_REMEDY) from error
        finally:
            connection.close()


def envelope(message: Message) -> bytes:
    """The CloudEvent. ``source`` and ``id`` together name it, however often it comes."""
    event = {
        "specversion": "1.0",
        "id": message.message_id,
        "source": message.source,
        "type": f"everloop.alert.{message.event}",
        "subject": message.subject,
        "time": message.at.isoformat(),
        "datacontenttype": "application/json",
        "data": {"level": message.level, "title": message.title, "text": message.text, **message.data},
    }
    return json.dumps(event, ensure_ascii=False).encode()
