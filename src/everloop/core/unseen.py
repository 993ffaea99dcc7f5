"""Characters that are not seen, or that turn the direction of what follows them, in text that came with data,
such as names of columns: there may be anything in it. For whoever reads it they are escaped as in Python."""

from __future__ import annotations

import re

_TURNING = "\u2028\u2029\u202a-\u202e\u2066-\u2069"
_UNSEEN = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_TURNING}\ud800-\udfff]")  # but \t and \n
_IN_A_LINE = re.compile("[\t\n]")


def escaped(text: str) -> str:
    return _UNSEEN.sub(_as_in_python, text)


def inline(text: str) -> str:
    """The same in one line: line ends and tabs are escaped, too."""
    return escaped(_IN_A_LINE.sub(_as_in_python, text))


def _as_in_python(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
