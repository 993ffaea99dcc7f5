"""Batches of up to 64 requests, filled for at most 2 ms; a request may have several rows."""

from lit_plain import Served, serve


class Batched(Served):
    def batch(self, inputs):
        return inputs

    def predict(self, requests):
        probabilities = self.loaded.probabilities([row for rows in requests for row in rows])
        parts, at = [], 0
        for rows in requests:
            parts.append(self.loaded.answer(probabilities[at : at + len(rows)]))
            at += len(rows)
        return parts

    def unbatch(self, output):
        return output


if __name__ == "__main__":
    serve(Batched(max_batch_size=64, batch_timeout=0.002))
