"""Patterns of paths, as in .gitignore: ``*`` and ``?`` within a name, ``**`` over folders, ``[…]``.

A pattern with a slash before its end counts from the folder's root, one without matches a name anywhere; a
slash at the end means folders only; ``!`` takes back what an earlier line ignored; ``#`` begins a remark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

IGNORE_FILE = ".everloopignore"


class Ignored:
    """What the lines of an ignore file leave out."""

    def __init__(self, lines: Iterable[str]) -> None:
        stripped = [line.strip() for line in lines]
        self._rules = [_rule(line) for line in stripped if line and not line.startswith("#")]

    def __call__(self, path: str, *, folder: bool) -> bool:
        """Whether a path is left out. The caller does not ask about what is below a folder left out."""
        ignored = False
        for expression, kept, only_folders in self._rules:
            if ignored == kept and (folder or not only_folders) and expression.fullmatch(path):
                ignored = not kept
        return ignored


def matcher(patterns: Sequence[str]) -> re.Pattern[str]:
    """Matches a path that one of the patterns names, or that lies below a folder that one names."""
    return re.compile("|".join(f"(?:{_expression(p.strip('/'), True)}(?:/.*)?)" for p in patterns))


def _rule(line: str) -> tuple[re.Pattern[str], bool, bool]:
    kept = line.startswith("!")
    pattern = line[1:] if kept else line
    only_folders = pattern.endswith("/")
    pattern = pattern.rstrip("/")
    return re.compile(_expression(pattern.lstrip("/"), "/" in pattern)), kept, only_folders


def _expression(pattern: str, anchored: bool) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    text = "".join(known.get(part) or (_set(part) if _is_set(part) else re.escape(part)) for part in parts)
    return text if anchored else f"(?:.*/)?{text}"


def _is_set(part: str) -> bool:
    return part.startswith("[") and part.endswith("]") and len(part) > 2


def _set(part: str) -> str:
    inner = part[1:-1].replace("\\", r"\\").replace("[", r"\[").replace("&&", r"\&&")
    return f"[^{inner[1:]}]" if inner[0] in "!^" and len(inner) > 1 else f"[{inner}]"
