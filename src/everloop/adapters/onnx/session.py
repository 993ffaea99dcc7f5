"""A compiled model and what runs it. Imports onnxruntime and numpy only: serving workers stay lean."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime

INPUT = "X"
LEVELS = "levels"


class Compiled:
    """One model, ready to answer. Each call takes one thread, which never spins; several may call at once.

    ``levels`` are, per input of texts, those with a code of their own: 1, 2 … in this order (others 0).
    """

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._run = getattr(session, "_sess", session).run  # without 0.7 us of Python around it
        self._outputs = [session.get_outputs()[0].name]
        notes = session.get_modelmeta().custom_metadata_map
        self.levels: dict[str, tuple[str, ...]] = {
            name: tuple(texts) for name, texts in json.loads(notes.get(LEVELS, "{}")).items()
        }

    def run_matrix(self, X: np.ndarray) -> np.ndarray:
        """Probabilities (rows, classes) or values (rows,) for an array (rows, columns), best as float64.
        Raises onnxruntime's errors for another number of columns."""
        if X.dtype != np.float64:
            X = X.astype(np.float64)
        return _plain(self._run(self._outputs, {INPUT: X}, None)[0])


def _plain(answer: np.ndarray) -> np.ndarray:
    return answer[:, 0] if answer.shape[-1] == 1 and answer.ndim == 2 else answer
