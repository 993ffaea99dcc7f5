"""Text that came with data, such as names of columns, as a terminal may have it: there may be anything in it.
JSON has it whole."""

from __future__ import annotations

import re

_MOST = 300  # characters of a word: a path may be as long
_NAME = 60
_UNSEEN = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"  # but \t and \n
_LONG = re.compile(rf"\S{{{_MOST + 1},}}")


def text(given: str) -> str:
    """Control characters, also those that turn the direction of writing, are escaped as in Python; words of
    more than 300 characters end in …"""
    return _LONG.sub(lambda word: cut(word[0], _MOST), _escaped(given, _UNSEEN))


def inline(given: str) -> str:
    """The same in one line: line ends and tabs are escaped, too."""
    return text(_escaped(given, "\t\n"))


def name(given: str) -> str:
    """That of a column, where it stands beside others: at most 60 characters."""
    return cut(inline(given), _NAME)


def cut(given: str, most: int) -> str:
    return given if len(given) <= most else f"{given[: most - 1]}…"


def _escaped(given: str, characters: str) -> str:
    return re.sub(f"[{characters}]", lambda one: one[0].encode("unicode_escape").decode("ascii"), given)
