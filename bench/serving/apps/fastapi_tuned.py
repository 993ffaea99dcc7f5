"""As one who measures writes it: on the event loop, no thread pool; started without the access log."""

from fastapi import FastAPI
from fastapi_plain import Answer, Asked, served

app = FastAPI()


@app.post("/predict")
async def predict(asked: Asked) -> Answer:
    return Answer(**served.predict(asked.rows))
