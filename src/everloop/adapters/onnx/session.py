"""A compiled model and what runs it. Imports onnxruntime and numpy only: serving workers stay lean."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime

MISSING = "(missing)"
"""What stands for a missing text in ``run_columns``."""
INPUT = "X"
_NUMPY = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(string)": np.object_}


class Compiled:
    """One model, ready to answer: ``run_matrix`` for the layout ``matrix``, ``run_columns`` for ``columns``.

    ``names`` are the inputs' names and ``dtypes`` their numpy types (float64, object for texts). One thread
    per call, which waits without spinning; several threads may call at once.
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
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._run = getattr(self._session, "_sess", self._session).run  # without 0.7 us of Python around it
        self._outputs = [self._session.get_outputs()[0].name]
        self.names = tuple(each.name for each in self._session.get_inputs())
        self.dtypes = {each.name: np.dtype(_NUMPY[each.type]) for each in self._session.get_inputs()}
        self._dtype = self.dtypes[self.names[0]]

    def run_matrix(self, X: np.ndarray) -> np.ndarray:
        """Probabilities (rows, classes) or values (rows,) for an array (rows, columns), best as float64.
        Raises onnxruntime's errors for another number of columns."""
        if X.dtype != self._dtype:
            X = X.astype(self._dtype)
        return _plain(self._run(self._outputs, {INPUT: X}, None)[0])

    def run_columns(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """The same, from one array (rows, 1) per field under its name. A missing number is NaN, a missing
        text ``MISSING``."""
        given = {}
        for name, dtype in self.dtypes.items():
            column = columns[name]
            given[name] = column if column.dtype == dtype else column.astype(dtype)
        return _plain(self._run(self._outputs, given, None)[0])


def _plain(answer: np.ndarray) -> np.ndarray:
    return answer[:, 0] if answer.shape[-1] == 1 and answer.ndim == 2 else answer
