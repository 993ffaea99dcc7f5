"""What an error looks like to a person, to a machine, and to the shell that called: text, JSON, exit code."""

from __future__ import annotations

import errno
import json as json_text
import os
import sys
import traceback
from collections.abc import Callable

import typer

from everloop.core.errors import MLOpsError, StorageDenied, StorageFull, Unavailable

from . import plain

OK = 0
UNEXPECTED = 1
USAGE = 2  # Typer's own
CONTRACT = 3
DIFFERENT = 4
UNHEALTHY = 5
NOT_TRAINED = 6  # something speaks against a training, such as too few rows
ROLLED_BACK = 7  # a release that was watched; also when it was aborted
INCONCLUSIVE = 8  # a release that was watched
INTERRUPTED = 130

EXIT_CODES = {
    "contract_failed": CONTRACT,
    "error": 10,
    "not_found": 11,
    "file_missing": 12,
    "unknown_version": 13,
    "unknown_model": 14,
    "invalid": 20,
    "invalid_settings": 21,
    "empty_table": 22,
    "unknown_column": 23,
    "wrong_type": 24,
    "all_missing": 25,
    "constant_target": 26,
    "too_few_rows": 27,
    "duplicate_columns": 28,
    "unreadable": 29,
    "conflict": 40,
    "busy": 41,
    "refused": 42,
    "overtaken": 43,
    "unavailable": 50,
    "missing_extra": 51,
    "storage_full": 52,
    "storage_denied": 53,
    "timed_out": 54,
    "corrupt": 60,
    "experiment_error": 70,
    "deployment_error": 71,
    "monitoring_error": 72,
    "drift_detection_error": 73,
}


def exit_code(error: MLOpsError) -> int:
    """The error's own code, or that of the nearest branch of the tree above it."""
    codes = (EXIT_CODES.get(getattr(kind, "code", "")) for kind in type(error).__mro__)
    return next(code for code in codes if code is not None)


def guard(work: Callable[[], int | None], *, json: bool, debug: bool) -> int:
    """Run a command; what it raises becomes a message and an exit code. That nobody reads its output any
    longer (``| head``) is no error, and changes no code."""
    code = OK
    try:
        code = _run(work, json=json, debug=debug)
        sys.stdout.flush()
    except BrokenPipeError:
        reader_left()
    return code


def _run(work: Callable[[], int | None], *, json: bool, debug: bool) -> int:
    try:
        return work() or OK
    except KeyboardInterrupt:
        return interrupted()
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 (the outermost place: a bug is told, not dumped)
        known = as_known(error)
        return told(known, json=json, debug=debug) if known else _unexpected(error, json=json, debug=debug)


def told(error: MLOpsError, *, json: bool, debug: bool) -> int:
    """Tell an error that a user can act on; returns its exit code."""
    trace(error, debug=debug)
    _tell(document(error), rendered(error), json=json)
    return exit_code(error)


def trace(error: BaseException, *, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)


def document(error: MLOpsError) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "remedy": error.remedy}


def rendered(error: MLOpsError) -> str:
    said = f"error: {error.message}" + (f"\n  what to do: {error.remedy}" if error.remedy else "")
    return plain.text(said)


def as_known(error: BaseException) -> MLOpsError | None:
    """The error itself if it is one of ours, or what a failing disk or too little memory means where no part
    below has said it."""
    if isinstance(error, MLOpsError):
        return error
    if isinstance(error, MemoryError):  # Arrow's, too
        asked = f": {error}".rstrip(": .").partition("\n")[0]
        return Unavailable(
            f"This takes more memory than there is{asked}.",
            remedy="Free some, or work on less at once: a file larger than data_versioning.memory, in bytes, "
            "is registered in batches.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"No space left{_place(error)}.", remedy="Free some space and run again.")
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        what = error.filename or "A file"
        remedy = "Check its owner and permissions."
        return StorageDenied(f"{what} cannot be used: {error.strerror or 'denied'}.", remedy=remedy)
    return None


def _tell(said: dict[str, str], text: str, *, json: bool) -> None:
    try:
        if json:
            typer.echo(json_text.dumps({"error": said}, ensure_ascii=False))
        else:
            typer.echo(text, err=True)
    except BrokenPipeError:
        reader_left()


def _place(error: OSError) -> str:
    return f" at {error.filename}" if error.filename else ""


def _unexpected(error: Exception, *, json: bool, debug: bool) -> int:
    said = str(error).strip().partition("\n")[0] or "no message"
    message = f"unexpected {type(error).__name__}: {said}"
    remedy = "Please report this. Run again with --debug to see where it happened."
    trace(error, debug=debug)
    shown = {"code": "unexpected", "message": message, "remedy": remedy}
    _tell(shown, plain.text(f"{message}\n  what to do: {remedy}"), json=json)
    return UNEXPECTED


def interrupted() -> int:
    typer.echo("interrupted; the next 'everloop run' goes on from here", err=True)
    return INTERRUPTED


def reader_left() -> None:
    """Whoever read our output has closed it: nobody is left to tell anything."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
