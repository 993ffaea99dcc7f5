import os
import signal

import ray
from loaded import Loaded
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=int(os.environ["BENCH_WORKERS"]), ray_actor_options={"num_cpus": 0.5})
class Served:
    def __init__(self):
        self.loaded = Loaded()

    async def __call__(self, request: Request):
        return self.loaded.predict((await request.json())["rows"])


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, _temp_dir=os.environ["BENCH_RAY"])
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["BENCH_PORT"])})
    serve.run(Served.bind(), route_prefix="/predict")
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit))
    signal.pause()
