import os
from typing import Any

import bentoml
from loaded import Loaded


@bentoml.service(workers=int(os.environ["BENCH_WORKERS"]))
class Served:
    def __init__(self) -> None:
        self.loaded = Loaded()

    @bentoml.api
    def predict(self, rows: list[list[Any]]) -> dict[str, Any]:
        return self.loaded.predict(rows)
