"""What a command raises becomes one message and one exit code."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator

import pyarrow as pa
import pytest

from everloop.cli import errors
from everloop.core.errors import (
    Busy,
    ConstantTarget,
    ContractFailed,
    Invalid,
    MissingExtra,
    MLOpsError,
    UnknownVersion,
)


def tree(kind: type[MLOpsError]) -> Iterator[type[MLOpsError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == "everloop.core.errors":
            yield from tree(below)


def test_every_error_has_an_exit_code_of_its_own() -> None:
    kinds = set(tree(MLOpsError))
    assert {kind.code for kind in kinds} == set(errors.EXIT_CODES)
    assert len(set(errors.EXIT_CODES.values())) == len(kinds) == len({kind.code for kind in kinds})


def test_exit_codes_stay_clear_of_those_with_another_meaning() -> None:
    taken = {
        errors.OK,
        errors.UNEXPECTED,
        errors.USAGE,
        errors.DIFFERENT,
        errors.UNHEALTHY,
        errors.INTERRUPTED,
    }
    assert not taken & set(errors.EXIT_CODES.values())
    assert all(code == errors.CONTRACT or 10 <= code < 126 for code in errors.EXIT_CODES.values())


def test_an_error_made_later_has_the_code_of_its_branch() -> None:
    class Odd(Invalid):
        code = "odd"

    assert errors.exit_code(Odd("odd")) == errors.EXIT_CODES["invalid"]


def raising(error: BaseException, **options: bool) -> int:
    def work() -> None:
        raise error

    return errors.guard(work, **{"json": False, "debug": False, **options})


def test_an_error_is_told_on_stderr_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    code = raising(ConstantTarget("The target 'y' is always 1.", remedy="Give other data."))
    out, err = capsys.readouterr()
    assert code == 26
    assert out == ""
    assert err == "error: The target 'y' is always 1.\n  what to do: Give other data.\n"


def test_a_machine_gets_the_error_as_json_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    code = raising(UnknownVersion("There is no run 'x'.", remedy="Look."), json=True)
    out, err = capsys.readouterr()
    assert code == 13
    assert err == ""
    assert json.loads(out) == {
        "error": {"code": "unknown_version", "message": "There is no run 'x'.", "remedy": "Look."}
    }


def test_the_traceback_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    raising(Busy("model/iris"))
    assert "Traceback" not in capsys.readouterr().err
    raising(Busy("model/iris"), debug=True)
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_is_told_in_one_line_and_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    code = raising(ZeroDivisionError("division by zero\nand more"))
    err = capsys.readouterr().err
    assert code == 1
    assert err.startswith("unexpected ZeroDivisionError: division by zero\n")
    assert "--debug" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, 52), (errno.EDQUOT, 52), (errno.EACCES, 53), (errno.EPERM, 53), (errno.EROFS, 53)],
)
def test_a_failing_disk_is_no_bug(number: int, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(OSError(number, "said the disk", "/data/x")) == code
    assert "/data/x" in capsys.readouterr().err


def test_other_failures_of_the_system_are_bugs() -> None:
    assert raising(OSError(errno.EISDIR, "Is a directory")) == 1


def test_an_interrupted_command_says_that_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(KeyboardInterrupt()) == 130
    assert "the next 'everloop run' goes on from here" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "code"), [(None, 0), (0, 0), (4, 4)])
def test_a_command_that_ends_gives_its_own_code(given: int | None, code: int) -> None:
    assert errors.guard(lambda: given, json=False, debug=False) == code


def test_the_contract_and_a_missing_extra_have_the_codes_of_the_handbook() -> None:
    assert errors.exit_code(ContractFailed("broken")) == 3
    assert errors.exit_code(MissingExtra("polars", "polars")) == 51


@pytest.mark.parametrize(
    "error", [MemoryError(), MemoryError("Unable to allocate 30 MiB"), pa.ArrowMemoryError("x")]
)
def test_too_little_memory_is_told_with_what_helps(
    error: MemoryError, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(error) == errors.EXIT_CODES["unavailable"]
    told = capsys.readouterr().err
    assert told.startswith(
        f"error: This takes more memory than there is{f': {error}' if str(error) else ''}.\n"
    )
    assert "data_versioning.memory" in told
