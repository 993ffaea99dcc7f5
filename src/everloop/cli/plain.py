"""Text that came with data, such as names of columns, as a terminal may have it: there may be anything in it.
JSON has it whole."""

from __future__ import annotations

import re

from everloop.core import unseen

_MOST = 300  # characters of a word: a path may be as long
_NAME = 60
_LONG = re.compile(rf"\S{{{_MOST + 1},}}")


def text(given: str) -> str:
    """Control characters, also those that turn the direction of writing, are escaped as in Python; words of
    more than 300 characters end in …"""
    return _LONG.sub(lambda word: cut(word[0], _MOST), unseen.escaped(given))


def inline(given: str) -> str:
    """The same in one line: line ends and tabs are escaped, too."""
    return text(unseen.inline(given))


def name(given: str) -> str:
    """That of a column, where it stands beside others: at most 60 characters."""
    return cut(inline(given), _NAME)


def cut(given: str, most: int) -> str:
    return given if len(given) <= most else f"{given[: most - 1]}…"
