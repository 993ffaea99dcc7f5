"""Models that could not be compiled, asked over a channel; see ``api.front.native``.

Rows come as values in the order of the fields.
"""

from __future__ import annotations

from typing import Any

from everloop.api.channel import Channel, Message
from everloop.core.documents import load
from everloop.core.serving import Form
from everloop.training import raw, serialise


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
        scores = raw.scores(model, form, rows)
        return scores.astype("<f8").tobytes(), list(scores.shape)


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
            kind, said = type(error).__name__, " ".join(str(error).split())[:300]
            answer = {"kind": "failed", "error": kind, "message": f"The model failed ({kind}: {said})."}
        channel.send(answer.pop("kind"), number=message["number"], **answer)
        try:
            await channel.drained()
        except ConnectionError:
            return  # the worker has gone: nobody waits for it
