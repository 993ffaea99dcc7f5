"""Small tables that the training tests share."""

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.datasets import load_iris


def hashes(frame: pd.DataFrame) -> np.ndarray:
    """Equal rows, equal hashes, as the data room gives them."""
    return pd.util.hash_pandas_object(frame.astype(str), index=False).to_numpy()


def customers(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """Every kind of feature, with missing values; ``churn`` depends on visits and plan."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, rows).astype(float)
    age[rng.random(rows) < 0.1] = np.nan
    frame = pd.DataFrame(
        {
            "age": age,
            "visits": rng.poisson(4, rows),
            "plan": rng.choice(np.array(["basic", "family", "pro", None], dtype=object), rows),
            "active": rng.choice(np.array([True, False, None], dtype=object), rows),
            "since": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 9000, rows), "h"),
        }
    )
    score = frame["visits"] - 4 - 1.5 * (frame["plan"] == "pro")
    frame["churn"] = np.where(rng.random(rows) < 1 / (1 + np.exp(-score)), "yes", "no")
    return frame


def iris() -> pd.DataFrame:
    data = load_iris(as_frame=True)
    frame = data.frame.drop(columns="target")
    frame["species"] = data.target_names[data.target]
    return frame


def table(frame: pd.DataFrame) -> pa.Table:
    """The frame as Arrow has it, zones too (from_pandas warns about them with pandas 3.1)."""
    zoned = frame.select_dtypes("datetimetz").columns
    plain = frame.assign(**{name: frame[name].dt.tz_convert(None) for name in zoned})
    made = pa.Table.from_pandas(plain, preserve_index=False).replace_schema_metadata(None)
    for name in zoned:
        at, kind = made.schema.get_field_index(name), made.schema.field(name).type
        made = made.set_column(at, name, made[name].cast(pa.timestamp(kind.unit, str(frame[name].dt.tz))))
    return made
