"""A table as the bytes of a file that others read: Parquet, CSV or Feather."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from everloop.core.errors import Invalid, WrongType


def to_bytes(table: pa.Table, ending: str) -> bytes:
    """``ending`` is ``.parquet``, ``.csv`` or ``.feather``. CSV cannot hold nested columns: WrongType."""
    sink = pa.BufferOutputStream()
    if ending == ".parquet":
        pyarrow.parquet.write_table(table, sink, compression="zstd")
    elif ending == ".feather":
        pyarrow.feather.write_feather(table, sink)
    elif ending == ".csv":
        try:
            pyarrow.csv.write_csv(table, sink)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise WrongType(
                f"The table does not fit in CSV: {error}.", remedy="Write it as .parquet."
            ) from error
    else:
        raise Invalid(
            f"'{ending or 'a file without ending'}' is no kind of file that is written.",
            remedy="End the name in .parquet, .csv or .feather.",
        )
    data: bytes = sink.getvalue().to_pybytes()
    return data
