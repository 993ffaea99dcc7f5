"""Values of requests reach the original as the types that it was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from everloop.core.serving import Field, Form
from everloop.serving.inputs import Inputs
from everloop.training import raw
from everloop.training.preparation import ColumnTypes

MOMENTS = (
    "2026-07-01T15:00", "2026-07-01T15:00Z", "2026-07-01T15:00+05:00", "2026-07-01", "2026-12-31T23:30-08:00",
)  # fmt: skip


def frame_of(field: Field, values: Any) -> pd.DataFrame:
    """What the original is given."""
    given = []

    class Looking:
        def predict(self, frame: pd.DataFrame) -> np.ndarray:
            given.append(frame)
            return np.zeros(len(frame))

    form = Form("native", "", "regression", (), (field,))
    assert raw.scores(Looking(), form, [[value] for value in values]).shape == (len(values),)
    return given[0]


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("time", "datetime64[ns]"),
        ("time[UTC]", "datetime64[ns, UTC]"),
        ("time[Europe/Zurich]", "datetime64[ns, Europe/Zurich]"),
    ],
)
def test_times_are_times_as_the_compiled_reader_takes_them(kind: str, dtype: str) -> None:
    field = Field("when", kind, nullable=True)
    frame = frame_of(field, [*MOMENTS, None])
    assert str(frame["when"].dtype) == dtype
    assert frame["when"].isna().tolist() == [False] * len(MOMENTS) + [True]
    compiled, _ = Inputs(Form("onnx", "", "regression", (), (field,))).encode([[one] for one in MOMENTS])
    parts = ColumnTypes({"when": kind}).fit(frame).transform(frame).to_numpy()
    np.testing.assert_array_equal(parts[:-1], compiled)


def test_times_beyond_nanoseconds_are_what_data_versions_have() -> None:
    when = frame_of(Field("when", "time"), ["9999-12-31", None])["when"]
    assert str(when.dtype) == "datetime64[us]"
    assert when.dt.year.tolist()[0] == 9999


def test_a_zone_may_be_an_offset() -> None:
    field = Field("when", "time[UTC+05:00]")
    assert frame_of(field, ["2026-07-01T15:00Z"])["when"].dt.hour.tolist() == [20]
    compiled, _ = Inputs(Form("onnx", "", "regression", (), (field,))).encode([["2026-07-01T15:00Z"]])
    assert compiled[0, 0] == 20
