"""As a tutorial writes it: a ``def`` endpoint, which runs in the thread pool."""

from fastapi import FastAPI
from loaded import Loaded
from pydantic import BaseModel

app = FastAPI()
served = Loaded()


class Asked(BaseModel):
    rows: list[list[float]] if served.matrix else list[list[float | str]]


class Answer(BaseModel):
    predictions: list[str]
    probabilities: list[list[float]]


@app.post("/predict")
def predict(asked: Asked) -> Answer:
    return Answer(**served.predict(asked.rows))
