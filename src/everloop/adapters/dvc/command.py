"""``git`` and ``dvc`` as commands: run one, and turn what it says on failure into an error of ours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from everloop.core.errors import Busy, Invalid, MissingExtra, MLOpsError, NotFound, Refused, Unavailable

from . import library

_NOT_FILLED = re.compile(r"Checkout failed for following targets:\n(.+?)\nIs your cache", re.DOTALL)


def git(folder: Path, *arguments: str, given: bytes | None = None) -> bytes:
    """What git says. Raises Invalid with git's own words."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        # S603: git itself, and arguments that no shell reads
        done = subprocess.run(command, input=given, capture_output=True, check=False)  # noqa: S603
    except OSError as error:
        raise Unavailable("git cannot be run.", remedy="Install git.") from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").removeprefix("fatal: ").splitlines()
        said = " ".join(line.strip() for line in lines if line.strip())
        raise Invalid(
            f"git {arguments[0]} in {folder}: {said.rstrip('.')}.",
            remedy="Put right what git says there, then run this again.",
        )
    return done.stdout


def dvc(folder: Path, *arguments: str) -> str:
    """What DVC says. Raises MissingExtra, Busy, Refused, NotFound or Unavailable with DVC's own words."""
    return dvc_warned(folder, *arguments)[0]


def dvc_warned(folder: Path, *arguments: str) -> tuple[str, str]:
    """What DVC says, and what it warns of on stderr; it raises as ``dvc`` does."""
    library.require()
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(  # noqa: S603 (the DVC of our own interpreter, and arguments that no shell reads)
        command, cwd=folder, capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    warned = done.stderr.decode(errors="replace")
    if done.returncode:
        raise error_of(arguments[0], folder, warned)
    return done.stdout.decode(errors="replace"), warned


def error_of(verb: str, folder: Path, said: str) -> MLOpsError:
    """What a failed ``dvc VERB`` means, from what it said on stderr."""
    reasons = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    text = " ".join(reasons).strip() or said.strip() or "no reason given"
    low = said.lower()
    message = f"dvc {verb}: {text.rstrip('.')}."
    if "unable to acquire lock" in low or "is busy" in low:
        return Busy(f"the DVC project {folder} (dvc)")
    if "requires 'dvc-" in low or "missing dependencies" in low:
        library_named = re.search(r"'(dvc-[\w-]+)'", said)
        return MissingExtra(library_named[1] if library_named else "dvc", "dvc")
    if "no remote specified" in low or "no default remote" in low or "no remote provided" in low:
        return NotFound(
            f"The DVC project {folder} has no remote to {verb} from or to.",
            remedy="Name one with 'dvc remote add -d NAME URL'.",
        )
    not_filled = _NOT_FILLED.search(said)
    if not_filled:
        named = ", ".join(f"'{name.strip()}'" for name in not_filled[1].splitlines() if name.strip())
        return NotFound(
            f"Neither DVC's cache nor the remote has all of {named}. The others are in place.",
            remedy="Run 'dvc push' where they were added, then 'everloop dvc pull' here. The output of a "
            "stage never run comes by 'dvc repro', an import that was not downloaded by 'dvc update'.",
        )
    if "already tracked by scm" in low:
        return Invalid(
            f"{message} A file is either git's or DVC's.",
            remedy="Take it out of git first: git rm --cached FILE, and commit that. It stays on the disk.",
        )
    if "confirmation" in low or "use `-f`" in low or "--force" in low:
        return Refused(
            f"{message} Something in the work tree is not in DVC's cache and would be lost.",
            remedy="Keep it with 'everloop dvc add FILE', or say --force.",
        )
    return Unavailable(message, remedy="'dvc doctor' and 'dvc remote list' show how DVC is set up.")
