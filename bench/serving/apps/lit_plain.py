import os

import litserve
from loaded import Loaded


class Served(litserve.LitAPI):
    def setup(self, device):
        self.loaded = Loaded()

    def decode_request(self, request):
        return request["rows"]

    def predict(self, rows):
        return self.loaded.predict(rows)

    def encode_response(self, output):
        return output


def serve(api):
    workers = int(os.environ["BENCH_WORKERS"])
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=workers)
    server.run(
        host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), generate_client_file=False, log_level="warning"
    )


if __name__ == "__main__":
    serve(Served())
