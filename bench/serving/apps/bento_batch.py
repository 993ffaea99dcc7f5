import os
from typing import Any

import bentoml
from loaded import Loaded


@bentoml.service(workers=int(os.environ["BENCH_WORKERS"]))
class Served:
    def __init__(self) -> None:
        self.loaded = Loaded()

    @bentoml.api(batchable=True, max_batch_size=100)
    def predict(self, rows: list[list[Any]]) -> list[list[float]]:
        return self.loaded.probabilities(rows).tolist()
