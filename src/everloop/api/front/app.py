"""The ASGI side of a worker: health, the inference protocol, predictions that are not answered in one turn of
the loop (large, binary, compressed, or of models in another process), and all that the office does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from everloop.api import problems
from everloop.api.media import JSON_TYPE
from everloop.api.rates import EXEMPT
from everloop.core.errors import Invalid, MLOpsError, NotFound, TimedOut, Unavailable, nearest
from everloop.serving import bodies, desk, openinference
from everloop.serving.desk import Ask, Batch, Target

from .call import Call, Gone, Headers, Receive, Scope, Send
from .front import Front
from .line import SMALL
from .tables import Shown

T = TypeVar("T")
Forward = Callable[[Scope, bytes, str], Awaitable[tuple[int, Headers, bytes]]]

_log = logging.getLogger("everloop.worker")


class _IndexRequest(msgspec.Struct):
    ready: bool | None = None


_index_decoder = msgspec.json.Decoder(_IndexRequest)


class App:
    """An ASGI application. ``forward`` asks the office."""

    def __init__(self, front: Front, forward: Forward, server: Mapping[str, str]) -> None:
        self._front = front
        self._forward = forward
        self._server = server
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        call = Call(scope, receive, send, self._front)
        try:
            await self._limit(call)
            await self._answer(call)
        except MLOpsError as error:
            if not call.counted:
                self._front.refused(call.path, call.request_id, error, self._front.now() - call.began)
            await call.refuse(error)
        except Gone:
            return
        except Exception:  # noqa: BLE001 (nobody shall see more of it than that it happened)
            _log.exception("request %s failed: %s %.200r", call.request_id, call.method, call.path)
            await call.refuse(problems.unexpected())

    async def _limit(self, call: Call) -> None:
        """Refuse what is over the rate of its client."""
        rates = self._front.rates
        if rates is None or call.path in EXEMPT:
            return
        client = call.scope["client"]
        verdict = await rates.ask_store(client[0] if client else "", call.api_key)
        if verdict is None:
            self._front.counts.events["rate_unknown", "", ""] += 1
            self._front.problem = "The store of serving.limits.rate does not answer: no rate is limited."
            return
        call.rated = verdict.headers
        if refusal := verdict.refusal:
            raise refusal

    async def _answer(self, call: Call) -> None:
        path = call.path
        if path == "/health":
            call.only("GET", "HEAD")
            await call.json(self._health())
        elif path in ("/ready", "/v2/health/ready"):
            call.only("GET", "HEAD")
            await call.json(self._ready() if path == "/ready" else {"ready": self._check_ready()})
        elif path == "/v2/health/live":
            call.only("GET", "HEAD")
            await call.json({"live": True})
        elif path == "/predict":
            call.only("POST")
            await self._predict(call, self._target(self._front.table.default, None, "plain"))
        elif path == "/v2":
            call.only("GET", "HEAD")
            await call.json({**self._server, "extensions": ["binary_tensor_data", "model_repository(index)"]})
        elif path == "/v2/repository/index":
            call.only("POST")
            body = await call.body(SMALL, any_type=True)
            if body:
                bodies.decode(_index_decoder, body, 'Send {}, or {"ready": true}.')
            await call.json(self._index())
        elif path.startswith(("/v2/models/", "/models/")) and (found := _model_path(path)):
            await self._of_model(call, *found)
        else:
            await self._from_office(call)

    # -- models ----------------------------------------------------------------------------------------------

    async def _of_model(self, call: Call, v2: bool, name: str, version: str, act: str) -> None:
        if (v2, act) == (True, "infer") or (v2, act) == (False, "predict"):
            call.only("POST")
            await self._predict(call, self._target(name, version or None, "v2" if v2 else "plain"))
        elif v2 and act in ("", "ready"):
            call.only("GET", "HEAD")
            target = self._target(name, version or None, "v2")
            served = target.model
            if act == "ready":
                if down := self._front.down(served, self._front.table.models[name], named=target.named):
                    raise Unavailable(f"Not ready: {down}.", remedy="Promote another version.")
                await call.json({"name": name, "ready": True})
                return
            versions = [version] if version else list(self._front.table.models[name].versions)
            await call.json(openinference.metadata(name, versions, served.form))
        else:
            await self._from_office(call)

    def _target(self, name: str, version: str | None, protocol: desk.Protocol) -> Target:
        models = self._front.table.models
        if not models:
            raise Unavailable(
                "No model is loaded.", remedy="Train one with 'everloop run', or wait a moment."
            )
        shown = models.get(name)
        if shown is None:
            raise NotFound(f"There is no model '{name}'.", remedy=nearest(name, models))
        if not version and not shown.default:
            raise NotFound(
                f"No version of '{name}' is promoted yet.",
                remedy=f"Promote one, or ask for one: {', '.join(shown.versions)}.",
            )
        if not version and shown.targets:
            return shown.targets[protocol]
        served = shown.versions.get(version or shown.default)
        if served is None and not version:
            raise Unavailable(f"{name}@{shown.default} cannot be loaded.", remedy="Promote another version.")
        if served is None:
            raise NotFound(
                f"There is no version '{version}' of '{name}'.", remedy=nearest(version or "", shown.versions)
            )
        return Target(served, protocol, named=bool(version))

    def _index(self) -> list[dict[str, str]]:
        return [
            {"name": shown.name, "version": version, "state": "READY", "reason": ""}
            for shown in self._front.table.models.values()
            for version in shown.versions
        ]

    def _health(self) -> dict[str, Any]:
        front = self._front
        shown = {name: _told(one) for name, one in front.table.models.items()}
        problem = self._not_ready()
        lacking = front.log_problem or front.unrecorded
        well = not lacking and not any(one.wanted for one in front.table.models.values())
        return {
            "status": "unavailable" if problem else "healthy" if well else "degraded",
            "timestamp": front.moment(),
            "ready": problem is None,
            **({"problem": problem or front.unrecorded} if problem or front.unrecorded else {}),
            **({"last_problem": front.problem} if front.problem else {}),
            "default_model": front.table.default,
            "models": shown,
            "version": self._server["version"],
        }

    def _not_ready(self) -> str | None:
        """Why a prediction would not succeed now."""
        front = self._front
        if front.draining:
            return "this worker is shutting down"
        shown = front.table.models.get(front.table.default)
        if shown is None:
            return (
                f"the model '{front.table.default}' is not loaded"
                if front.table.default
                else "there is no model"
            )
        if shown.default not in shown.versions:
            lost = f"{shown.name}@{shown.default} cannot be loaded"
            return lost if shown.default else f"no version of '{shown.name}' is promoted yet"
        if down := front.down(shown.targets["plain"].model, shown):
            return down
        return front.log_problem if front.refuses else None

    def _check_ready(self) -> bool:
        problem = self._not_ready()
        if problem:
            raise Unavailable(f"Not ready: {problem}.", remedy="Try again soon.")
        return True

    def _ready(self) -> dict[str, Any]:
        told = {"ready": self._check_ready(), "default_model": self._front.table.default}
        return told | ({"problem": self._front.unrecorded} if self._front.unrecorded else {})

    # -- predicting ------------------------------------------------------------------------------------------

    async def _predict(self, call: Call, target: Target) -> None:
        front = self._front
        received, ask = front.now(), Ask(b"", call.request_id)
        call.counted, call.scope["target"] = True, target
        try:
            if self._running >= front.limits.waiting:
                raise problems.overloaded()
            self._running += 1
            try:
                await self._predict_now(call, target, ask)
            finally:
                self._running -= 1
        except MLOpsError as error:
            ask.reply = desk.Reply(error=error)
        except Gone:
            raise
        except Exception as error:  # noqa: BLE001 (nobody foresaw it; the request still gets an answer)
            _log.exception("request %s failed: %s %.200r", call.request_id, call.method, call.path)
            ask.failed = problems.unforeseen(error)
            ask.reply = desk.Reply(error=ask.failed)
        target = call.scope["target"]
        front.log([], [], front.failures([(target, ask)] if ask.unit else []))
        ask.received = received
        front.count(target, ask, front.now())
        reply = ask.reply
        if reply is None or reply.error is not None:
            raise (reply.error if reply and reply.error else problems.unexpected())
        call.scope["prediction_id"] = reply.prediction_id
        if reply.header is not None:
            kind = [(b"content-type", b"application/octet-stream")]
            length = [(b"inference-header-content-length", str(reply.header).encode())]
            await call.send(200, kind + length, reply.body)
        else:
            await call.send(200, [(b"content-type", JSON_TYPE)], reply.body)

    async def _predict_now(self, call: Call, target: Target, ask: Ask) -> None:
        front = self._front
        deadline = call.deadline(front.limits.deadline)
        ask.header = call.inference_header(target)
        untold = target.protocol == "v2" and b"content-type" not in call.headers  # as tritonclient does it
        ask.body = await call.body(front.limits.body, any_type=untold)
        ask.received = front.now()
        large = len(ask.body) > SMALL
        try:
            async with asyncio.timeout(deadline):
                if target.split is not None:
                    ask.entity = call.headers.get(b"x-entity-id", b"")
                    name = await self._beside(front.route, target, ask) if large else front.route(target, ask)
                    target = call.scope["target"] = front.chosen(target, name)
                if large:
                    batch = await self._beside(desk.prepare, target, [ask], front.limits.rows)
                else:
                    batch = desk.prepare(target, [ask], front.limits.rows)
                lines = await self._run(batch, deadline, large) if batch.asks else []
            if front.now() - ask.received > deadline:  # what ran on this loop is not interrupted
                raise TimeoutError
        except TimeoutError:
            error = TimedOut(
                f"No answer within {deadline:g} s.",
                remedy="Send fewer rows, or raise serving.limits.deadline.",
            )
            if deadline >= front.limits.deadline:  # not the client's own haste
                ask.failed = error
            raise error from None
        if front.log(lines, batch.asks, []):
            await front.synced()

    async def _beside(self, work: Callable[..., T], *given: Any) -> T:
        """Do what takes long beside the loop."""
        return await asyncio.get_running_loop().run_in_executor(None, work, *given)

    async def _run(self, batch: Batch, deadline: float, large: bool) -> list[bytes]:
        front = self._front
        if batch.target.model.run is None:
            return await front.run_native(batch, deadline)
        try:
            if large:
                return await self._beside(front.run, batch)
            return front.run(batch)
        except MLOpsError as error:
            return await front.rescue(batch, deadline, error=error)

    # -- the office ------------------------------------------------------------------------------------------

    async def _from_office(self, call: Call) -> None:
        if b"%00" in call.scope["query_string"] or "\0" in call.path:
            raise Invalid("The address holds a NUL character.", remedy="Leave it out.")
        body = await call.body(self._front.limits.body, any_type=True)
        if b"\\u0000" in body:
            raise Invalid("The body holds a NUL character.", remedy="Leave it out: no database keeps it.")
        status, headers, answer = await self._forward(call.for_office(), body, call.request_id)
        self._front.events.request(call.request_id, status, self._front.now() - call.began, path=call.path)
        await call.send(status, headers, answer)


def _model_path(path: str) -> tuple[bool, str, str, str] | None:
    """``/v2/models/NAME[/versions/VERSION][/ACT]`` -> is it V2, name, version, act."""
    parts = path.strip("/").split("/")
    v2 = parts[0] == "v2"
    parts = parts[2:] if v2 else parts[1:]
    name, version = parts[0], ""
    rest = parts[1:]
    if len(rest) >= 2 and rest[0] == "versions":
        version, rest = rest[1], rest[2:]
    if not name or len(rest) > 1:
        return None
    return v2, name, version, rest[0] if rest else ""


def _told(shown: Shown) -> dict[str, Any]:
    """``wanted``: the champion, where another version answers in its place."""
    served = shown.versions.get(shown.default)
    release = shown.traffic.release_id if shown.traffic and not shown.wanted else ""
    return {
        "version": shown.default or None,
        **({"wanted": shown.wanted} if shown.wanted else {}),
        "versions": list(shown.versions),
        **({"route": served.form.route} if served else {}),
        **({"fallback": shown.fallback} if shown.fallback else {}),
        **({"release": release} if release else {}),
    }
