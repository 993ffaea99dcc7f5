"""Models that could not be compiled: ``python -m everloop.worker.native CHANNEL``, see ``api.front.native``.

Rows come as values in the order of the fields; they become the table that the model was trained on.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from everloop.api.channel import Channel, Message
from everloop.core.documents import load
from everloop.core.serving import Field, Form
from everloop.training import fitting, serialise

_EXACT = 2**53
_TYPES = {"number": pa.float64(), "boolean": pa.bool_(), "category": pa.string()}


class Models:
    def __init__(self) -> None:
        self._models: dict[str, tuple[Any, Form]] = {}

    def load(self, key: str, kind: str, content: bytes, form: dict[str, Any]) -> None:
        """What the registry holds was trained here, or trusted when it was registered."""
        self._models[key] = (serialise.loads(content, kind, trust_pickle=True), load(Form, form))

    def drop(self, key: str) -> None:
        self._models.pop(key, None)

    def run(self, key: str, rows: list[list[Any]]) -> tuple[bytes, list[int]]:
        """Scores as float64, and their shape."""
        model, form = self._models[key]
        columns = zip(*rows, strict=True)
        table = pa.table(
            {field.name: _column(field, values) for field, values in zip(form.fields, columns, strict=True)}
        )
        names = [field.name for field in form.fields]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that a model was fitted without
            scores = fitting.predict(model, table, names, form.task)
        return scores.astype("<f8").tobytes(), list(scores.shape)


def _column(field: Field, values: Sequence[Any]) -> pa.Array:
    """Whole numbers that float64 cannot hold stay whole: long ids are such."""
    if field.kind == "any":
        return pa.array(values)
    if field.kind == "number" and any(type(value) is int and abs(value) > _EXACT for value in values):
        whole = all(value is None or (type(value) is int and abs(value) < 2**63) for value in values)
        return pa.array(values if whole else [None if v is None else float(v) for v in values])
    return pa.array(values, _TYPES.get(field.kind, pa.string()))


def _answer(models: Models, message: Message) -> dict[str, Any]:
    if message["kind"] == "load":
        models.load(message["key"], message["format"], message["content"], message["form"])
        return {"kind": "loaded"}
    if message["kind"] == "drop":
        models.drop(message["key"])
        return {"kind": "dropped"}
    scores, shape = models.run(message["key"], message["rows"])
    return {"kind": "scores", "scores": scores, "shape": shape}


async def serve(channel: Channel) -> None:
    models = Models()
    async for message in channel:
        try:
            answer = _answer(models, message)
        except Exception as error:  # noqa: BLE001 (a model may raise anything: it is the answer)
            said = " ".join(str(error).split())[:300]
            answer = {"kind": "failed", "message": f"The model failed ({type(error).__name__}: {said})."}
        channel.send(answer.pop("kind"), number=message["number"], **answer)
        await channel.drained()


async def _main(number: int) -> None:
    await serve(await Channel.open(socket.socket(fileno=number)))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_main(int(sys.argv[1])))
