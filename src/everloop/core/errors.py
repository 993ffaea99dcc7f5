"""Every error a user can meet, in one tree.

    MLOpsError                      the one base; has .message, .remedy and a stable .code
    ├── NotFound                    what you named does not exist
    │   ├── FileMissing             … a file or folder on disk
    │   ├── UnknownVersion          … a data version, model version or run id
    │   └── UnknownModel            … a model of this project
    ├── Invalid                     what you gave cannot be used as it is
    │   ├── InvalidSettings         … a setting (typo, wrong type, impossible value)
    │   ├── EmptyTable              … a table without rows or columns
    │   ├── UnknownColumn           … a column that the table does not have
    │   ├── WrongType               … a column or value of another type than needed
    │   ├── AllMissing              … a column without a single value
    │   ├── ConstantTarget          … a target with one value only: nothing to learn
    │   ├── TooFewRows              … fewer rows than the request needs (folds, split, minimum)
    │   ├── DuplicateColumns        … two columns of one name
    │   └── Unreadable              … a file that is not what its name says (encoding, format)
    ├── Conflict                    somebody else holds or has already made it
    │   ├── Busy                    … another process works on the same thing now
    │   └── Overtaken               … another process has taken over what this one had begun
    ├── Refused                     understood, but a rule of the project forbids it
    │   └── ContractFailed          … the data break their contract
    ├── Unavailable                 something needed is not there now; trying again may help
    │   ├── MissingExtra            … an optional library that is not installed
    │   ├── StorageFull             … no space left on the device
    │   ├── StorageDenied           … a folder that cannot be written
    │   └── TimedOut                … a step that took longer than its timeout
    ├── Corrupt                     stored bytes are not what was written
    ├── ExperimentError             tracking went wrong
    ├── DeploymentError             a release went wrong
    ├── MonitoringError             monitoring went wrong
    └── DriftDetectionError         a drift check could not be made

A decision (a failed gate, a refused retraining) is a value, never an exception.
HTTP status codes and exit codes live in one table per door.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_BEGINNING = 3  # characters that say what somebody means


class MLOpsError(Exception):
    """What went wrong, with which value, and what to do about it."""

    code = "error"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class NotFound(MLOpsError):
    code = "not_found"


class FileMissing(NotFound):
    code = "file_missing"


class UnknownVersion(NotFound):
    code = "unknown_version"


class UnknownModel(NotFound):
    code = "unknown_model"


class Invalid(MLOpsError):
    code = "invalid"


class InvalidSettings(Invalid):
    code = "invalid_settings"


class EmptyTable(Invalid):
    code = "empty_table"


class UnknownColumn(Invalid):
    code = "unknown_column"


class WrongType(Invalid):
    code = "wrong_type"


class AllMissing(Invalid):
    code = "all_missing"


class ConstantTarget(Invalid):
    code = "constant_target"


class TooFewRows(Invalid):
    code = "too_few_rows"


class DuplicateColumns(Invalid):
    code = "duplicate_columns"


class Unreadable(Invalid):
    code = "unreadable"


class Conflict(MLOpsError):
    code = "conflict"


class Busy(Conflict):
    code = "busy"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Another process is at work on {name}.",
            remedy="Wait for it to end ('everloop status' shows how far it is), then try again.",
        )


class Overtaken(Conflict):
    code = "overtaken"


class Refused(MLOpsError):
    code = "refused"


class ContractFailed(Refused):
    code = "contract_failed"


class Unavailable(MLOpsError):
    code = "unavailable"


class MissingExtra(Unavailable):
    code = "missing_extra"

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"This needs the library '{library}', which is not installed.",
            remedy=f"Install it with: pip install 'everloop[{extra}]'",
        )


class StorageFull(Unavailable):
    code = "storage_full"


class StorageDenied(Unavailable):
    code = "storage_denied"


class TimedOut(Unavailable):
    code = "timed_out"


class Corrupt(MLOpsError):
    code = "corrupt"


class ExperimentError(MLOpsError):
    code = "experiment_error"


class DeploymentError(MLOpsError):
    code = "deployment_error"


class MonitoringError(MLOpsError):
    code = "monitoring_error"


class DriftDetectionError(MLOpsError):
    code = "drift_detection_error"


def close(name: str, known: Iterable[str]) -> str:
    """A sentence with the name that is nearest to one that is not known: one that begins so, or is spelled
    much like it. Empty where none is."""
    given, plain = name.lower(), {each.lower(): each for each in sorted(set(known))}
    found = [each for each in plain if len(given) >= _BEGINNING and each.startswith(given)]
    found = found or get_close_matches(given, plain, n=1, cutoff=0.6)
    return f"Did you mean '{plain[found[0]]}'?" if found else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that helps with a name that is not known: the nearest ones, or all of them if few."""
    names = sorted(set(known))
    if near := close(name, names):
        return near
    if not names:
        return "There is none yet."
    shown = ", ".join(f"'{n}'" for n in names[:12])
    return f"Known: {shown}{' and more' if len(names) > 12 else ''}."
