"""The Open Inference Protocol V2 over REST: tensors as JSON or binary, and metadata.

Source: https://github.com/open-inference/open-inference-protocol, and Triton's binary tensor extension
(``Inference-Header-Content-Length``).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from everloop.core.errors import Invalid, nearest
from everloop.core.serving import Field, Form

from . import bodies
from .answers import By, Outcome
from .bodies import short
from .inputs import Inputs
from .plain import Question
from .routing import check_entity

KINDS: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
_ONE = ([1, 1], [1])
FLOATS = frozenset(("FP16", "FP32", "FP64"))
LABEL, PROBABILITIES, VALUE = "predict", "predict_proba", "predict"
EXAMPLE = (
    'Send {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP64", "data": [5.1, 3.5, 1.4, 0.2]}]}.'
)


class Tensor(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class Wanted(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class Request(msgspec.Struct, gc=False):
    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Wanted] | None = None


class Output(msgspec.Struct, omit_defaults=True, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] | None = None


class Response(msgspec.Struct, omit_defaults=True, gc=False):
    model_name: str
    model_version: str
    id: str = ""
    parameters: dict[str, Any] | None = None
    outputs: list[Output] = []


_decoder = msgspec.json.Decoder(Request)
_encode = msgspec.json.Encoder().encode


def read(
    body: bytes | bytearray | memoryview, header: int | None, inputs: Inputs, most: int
) -> tuple[Request, Question]:
    """A request and its rows. Raises Invalid, Rejected: also where a body is no JSON only because of numbers
    that JSON does not have."""
    try:
        asked = request(body, header)
    except Invalid:
        found = bodies.leniently(Request, body) if header is None else None
        if found is not None:
            inputs.encode(question(found, inputs, most).rows)
        raise
    _check_outputs(asked.outputs or (), inputs.form)
    return asked, question(asked, inputs, most)


def request(body: bytes | bytearray | memoryview, header: int | None = None) -> Request:
    """A request; ``header`` is the length of its JSON where binary tensors follow it. Raises Invalid."""
    if header is not None and not 0 <= header <= len(body):
        raise Invalid(
            f"Inference-Header-Content-Length is {header}, the body has {len(body)} bytes.",
            remedy="Send the length of the JSON in front of the tensors.",
        )
    text = body if header is None else body[:header]
    asked = bodies.decode(_decoder, text, EXAMPLE)
    if bodies.count_keys(bytes(text)) != _keys(asked):  # or something is there that nobody reads
        bodies.refuse_duplicates(text, EXAMPLE)
    if asked.parameters is not None:
        check_entity(asked.parameters.get("entity_id"))
    if header is not None:
        _attach(asked, memoryview(body)[header:])
    return asked


def _keys(asked: Request) -> int:
    """How many keys the JSON of a request has, if none is there twice."""
    keys = 1 + (asked.id is not None) + _own_keys(asked.parameters)
    for tensor in asked.inputs:
        keys += 3 + (tensor.data is not None) + _own_keys(tensor.parameters)
    if asked.outputs is not None:
        keys += 1 + sum(1 + _own_keys(one.parameters) for one in asked.outputs)
    return keys


def _own_keys(parameters: dict[str, Any] | None) -> int:
    return 0 if parameters is None else 1 + len(parameters)


def question(asked: Request, inputs: Inputs, most: int) -> Question:
    """The rows of a request: of one tensor of (rows, fields), or of one tensor per field. Raises Invalid,
    Rejected."""
    tensors = asked.inputs
    width = len(inputs.names)
    if not tensors:
        raise Invalid("'inputs' is empty.", remedy=EXAMPLE)
    if len(tensors) == 1 and (len(tensors[0].shape) == 2 or tensors[0].name not in inputs.names):
        tensor = tensors[0]
        if tensor.name not in inputs.names or width == 1 or tensor.shape[1:] != [1]:
            data = _data(tensor, most)
            columns = tensor.shape[-1]
            count = len(data) // columns if columns else 0
            if len(tensor.shape) > 2 or not count:
                raise Invalid(
                    f"Input {short(tensor.name)} has the shape {_shape(tensor)}.",
                    remedy=f"Send it as [rows, {width}].",
                )
            return question_of(
                [data[at * columns : (at + 1) * columns] for at in range(count)], inputs, asked
            )
    row = single(tensors, inputs)
    if row is not None:
        return question_of([row], inputs, asked)
    found: dict[str, list[Any]] = {}
    for tensor in tensors:
        if tensor.name not in inputs.known:
            raise Invalid(
                f"There is no input {short(tensor.name)}.", remedy=nearest(tensor.name[:80], inputs.names)
            )
        if tensor.name in found:
            raise Invalid(f"The input {short(tensor.name)} is given twice.", remedy="Send each once.")
        if not (len(tensor.shape) == 1 or (len(tensor.shape) == 2 and tensor.shape[1] == 1)):
            raise Invalid(
                f"Input {short(tensor.name)} has the shape {_shape(tensor)}.", remedy="Send it as [rows, 1]."
            )
        found[tensor.name] = _data(tensor, most)
    counts = {len(data) for data in found.values()}
    if len(counts) != 1 or not counts.pop():
        raise Invalid("The inputs have different numbers of rows, or none.", remedy="Send one value per row.")
    count = len(next(iter(found.values())))
    nothing: list[Any] = [None] * count
    return question_of(
        [list(row) for row in zip(*(found.get(name, nothing) for name in inputs.names), strict=True)],
        inputs,
        asked,
    )


def single(tensors: Sequence[Tensor], inputs: Inputs) -> list[Any] | None:
    """The row of tensors with one value each, by name, where nothing about them needs a closer look: what a
    client asks most, in a third of the time."""
    found: dict[str, Any] = {}
    for tensor in tensors:
        data = tensor.data
        if data is None or len(data) != 1 or tensor.shape not in _ONE:
            return None
        value, datatype = data[0], tensor.datatype
        if datatype == "BYTES":
            if type(value) is not str:
                return None
        elif datatype not in FLOATS or type(value) is list:
            return None
        found[tensor.name] = value
    if len(found) != len(tensors) or not inputs.known.issuperset(found):
        return None
    return [found.get(name) for name in inputs.names]


def question_of(rows: list[list[Any]], inputs: Inputs, asked: Request) -> Question:
    for at in inputs.booleans:  # a tensor of numbers says them as 0 and 1
        for row in rows:
            if at < len(row) and row[at] in (0, 1):
                row[at] = bool(row[at])
    return Question(rows, single=len(rows) == 1, id=asked.id or "")


def response(
    asked: Request, outcomes: Sequence[Outcome], by: By, name: str, warned: Sequence[Sequence[str]] | None,
    held_out: Sequence[int] = (),
) -> tuple[bytes, int | None]:  # fmt: skip
    """The answer, and the length of its JSON where binary tensors follow it. ``name``: the prediction's id;
    the rows of a batch are ``name.0``, ``name.1`` … ``held_out``: the places of rows that are."""
    parameters: dict[str, Any] = {"prediction_id": name, "variant": by.variant}
    if by.release:
        parameters |= {"release": by.release, "probability": by.probability}
    if warned:
        parameters["warnings"] = "; ".join(text for row in warned for text in row)
    if held_out:
        parameters["hold_out"] = ",".join(map(str, held_out))
    wanted = asked.outputs or ()
    made = _outputs(outcomes)
    chosen = [output for one in wanted for output in made if output.name == one.name] or made
    by_default = bool(asked.parameters and asked.parameters.get("binary_data_output"))
    binary: list[bytes] = []
    for at, output in enumerate(chosen):
        own = wanted[at].parameters if wanted else None
        if own.get("binary_data", by_default) if own else by_default:
            data = _packed(output)
            binary.append(data)
            output.data = None
            output.parameters = {"binary_data_size": len(data)}
    text = _encode(Response(by.model, by.version, asked.id or "", parameters, chosen))
    return (text + b"".join(binary), len(text)) if binary else (text, None)


def metadata(model: str, versions: Sequence[str], form: Form) -> dict[str, Any]:
    """The model metadata of the protocol."""
    outputs: list[dict[str, Any]] = [{"name": VALUE, "datatype": "FP64", "shape": [-1]}]
    if form.task == "classification":
        outputs = [
            {"name": LABEL, "datatype": "BYTES", "shape": [-1]},
            {"name": PROBABILITIES, "datatype": "FP64", "shape": [-1, len(form.classes)]},
        ]
    return {
        "name": model,
        "versions": list(versions),
        "platform": "onnx_onnxv1" if form.route == "onnx" else "sklearn",
        "inputs": [
            {"name": field.name, "datatype": datatype(field), "shape": [-1, 1]} for field in form.fields
        ],
        "outputs": outputs,
    }


def datatype(field: Field) -> str:
    """The protocol's type of a field."""
    return {"number": "FP64", "boolean": "BOOL"}.get(field.kind, "BYTES")


def _outputs(outcomes: Sequence[Outcome]) -> list[Output]:
    count = len(outcomes)
    if outcomes[0].probabilities is None:
        return [Output(VALUE, [count], "FP64", [one.prediction for one in outcomes])]
    flat = [value for one in outcomes for value in (one.probabilities or {}).values()]
    width = len(outcomes[0].probabilities)
    return [
        Output(LABEL, [count], "BYTES", [one.prediction_name for one in outcomes]),
        Output(PROBABILITIES, [count, width], "FP64", flat),
    ]


def _check_outputs(wanted: Sequence[Wanted], form: Form) -> None:
    """Before the model runs: what is asked for can be answered."""
    known = (LABEL, PROBABILITIES) if form.task == "classification" else (VALUE,)
    for one in wanted:
        if one.name not in known:
            raise Invalid(f"There is no output {short(one.name)}.", remedy=nearest(one.name[:80], known))
        if "classification" in (one.parameters or {}):
            raise Invalid(
                f"Output '{one.name}' cannot be asked for by 'classification'.",
                remedy=f"Ask for '{PROBABILITIES}'.",
            )
    if len({one.name for one in wanted}) != len(wanted):
        raise Invalid("An output is asked for twice.", remedy="Ask for each once.")


def _data(tensor: Tensor, most: int) -> list[Any]:
    """The values of a tensor, flat."""
    if tensor.datatype not in KINDS:
        raise Invalid(
            f"Input {short(tensor.name)} has the datatype {short(tensor.datatype)}.",
            remedy=nearest(tensor.datatype[:80], KINDS) if tensor.datatype != "BF16" else "Send FP32.",
        )
    if any(side < 0 for side in tensor.shape) or not tensor.shape:
        raise Invalid(
            f"Input {short(tensor.name)} has the shape {_shape(tensor)}.", remedy="Send whole numbers."
        )
    if tensor.shape[0] > most:
        raise Invalid(
            f"{tensor.shape[0]:,} rows are more than the {most:,} that one request may have.",
            remedy="Send them in several requests, or raise serving.limits.rows.",
        )
    if tensor.data is None:
        remedy = (
            "Binary data needs the header Inference-Header-Content-Length." if tensor.parameters else EXAMPLE
        )
        raise Invalid(f"Input {short(tensor.name)} has no data.", remedy=remedy)
    data = tensor.data
    if data and type(data[0]) is list:
        data = _flat(tensor, data)
    if len(data) != math.prod(tensor.shape):
        raise Invalid(
            f"Input {short(tensor.name)} has {len(data):,} values, which do not fill its shape "
            f"{_shape(tensor)}.",
            remedy="Correct the shape or the data.",
        )
    wrong = _mismatched(tensor.datatype, data)
    if wrong is not None:
        raise Invalid(
            f"Input {short(tensor.name)} has the datatype {tensor.datatype}, which {_value(wrong)} is not.",
            remedy="Correct the datatype or the data; null is a missing value.",
        )
    return data


_RANGES = {name: np.iinfo(kind) for name, kind in KINDS.items() if "INT" in name}


def _mismatched(datatype: str, data: list[Any]) -> Any:
    """A value that is not of the datatype; None where all are."""
    if datatype.startswith("FP"):
        return None  # its field says what is allowed
    if datatype in _RANGES:
        low, high = _RANGES[datatype].min, _RANGES[datatype].max
        return next(
            (one for one in data if one is not None and (type(one) is not int or not low <= one <= high)),
            None,
        )
    wanted = bool if datatype == "BOOL" else str
    return next((one for one in data if one is not None and type(one) is not wanted), None)


def _value(value: Any) -> str:
    return short(value) if isinstance(value, str) else short(_text(value))[1:-1]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    plain = isinstance(value, float) or (isinstance(value, int) and value.bit_length() < 200)
    return str(value) if plain else "a list" if isinstance(value, list) else "such a value"


def _shape(tensor: Tensor) -> str:
    return short(tensor.shape[:20])[1:-1]


def _flat(tensor: Tensor, data: list[Any]) -> list[Any]:
    """The values of nested lists, which have to be as the shape says."""
    shape = tensor.shape
    if (
        len(shape) != 2
        or len(data) != shape[0]
        or any(type(x) is not list or len(x) != shape[1] for x in data)
    ):
        raise Invalid(
            f"Input {short(tensor.name)} has lists that are not of its shape {_shape(tensor)}.",
            remedy="Send one list per row, or one list of all values.",
        )
    return [value for row in data for value in row]


def _attach(asked: Request, rest: memoryview) -> None:
    """Give each tensor its part of the binary data."""
    at = 0
    for tensor in asked.inputs:
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            continue
        if type(size) is not int or size < 0 or at + size > len(rest):
            raise Invalid(
                f"Input {short(tensor.name)} asks for {_value(size)} bytes, of which "
                f"{len(rest) - at} are there.",
                remedy="Send binary_data_size as it is.",
            )
        if tensor.data is not None:
            raise Invalid(
                f"Input {short(tensor.name)} has data in the JSON and behind it.", remedy="Send one."
            )
        tensor.data = _unpacked(tensor, rest[at : at + size])
        at += size
    if at != len(rest):
        raise Invalid(
            f"{len(rest) - at} bytes follow the last tensor.", remedy="Send binary_data_size of each."
        )


def _unpacked(tensor: Tensor, data: memoryview) -> list[Any]:
    if tensor.datatype not in KINDS:
        return []
    if tensor.datatype == "BYTES":
        return list(_texts(tensor, bytes(data)))
    kind = KINDS[tensor.datatype]
    if len(data) % np.dtype(kind).itemsize:
        raise Invalid(
            f"Input {short(tensor.name)}: {len(data)} bytes are no {tensor.datatype} values.",
            remedy="Correct the datatype or the data.",
        )
    array = np.frombuffer(data, dtype=np.dtype(kind).newbyteorder("<"))
    if tensor.datatype == "BOOL":
        array = np.frombuffer(data, dtype=np.uint8) != 0
    values: list[Any] = array.tolist()
    if tensor.datatype.startswith("FP") and np.isnan(array).any():  # how an array says that one is missing
        values = [None if value != value else value for value in values]
    return values


def _texts(tensor: Tensor, data: bytes) -> Iterator[str]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if at + size > len(data):
            raise Invalid(
                f"Input {short(tensor.name)}: a text is longer than the data.", remedy="Send them whole."
            )
        try:
            yield data[at : at + size].decode()
        except UnicodeDecodeError:
            raise Invalid(
                f"Input {short(tensor.name)} holds a text that is no UTF-8.", remedy="Send UTF-8."
            ) from None
        at += size


def _packed(output: Output) -> bytes:
    if output.datatype == "BYTES":
        texts = [str(text).encode() for text in output.data]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    values: npt.NDArray[Any] = np.array(output.data, dtype=np.dtype(KINDS[output.datatype]).newbyteorder("<"))
    return values.tobytes()
