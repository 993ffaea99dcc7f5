"""A forwarded request to an ASGI application, without a socket in between."""

from __future__ import annotations

import asyncio
from typing import Any

from everloop.api.channel import Message


async def call(app: Any, message: Message) -> dict[str, Any]:
    """The status, headers and body that ``app`` answers."""
    path: str = message["path"]
    headers = [(bytes(name), bytes(value)) for name, value in message["headers"]]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": message["method"],
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": message["query"],
        "headers": [*headers, (b"x-request-id", message["request_id"].encode())],
        "client": tuple(message["client"]),
        "server": ("everloop", None),
        "state": {},
    }
    asked = [{"type": "http.request", "body": message["body"], "more_body": False}]
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if asked:
            return asked.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    found: dict[str, Any] = {"status": 500, "headers": [], "body": b""}
    parts: list[bytes] = []

    async def send(event: dict[str, Any]) -> None:
        if event["type"] == "http.response.start":
            found["status"] = event["status"]
            found["headers"] = [[bytes(name), bytes(value)] for name, value in event.get("headers", [])]
        elif event["type"] == "http.response.body":
            parts.append(bytes(event.get("body", b"")))

    await app(scope, receive, send)
    gone.set()
    return {**found, "body": b"".join(parts)}
