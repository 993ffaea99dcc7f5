"""``everloop`` itself: what it names, for people, editors and the interpreter."""

from __future__ import annotations

import ast
from pathlib import Path

import everloop
from everloop.core import errors


def test_every_name_that_is_promised_is_there() -> None:
    for name in everloop.__all__:
        assert getattr(everloop, name) is not None
    assert dir(everloop) == sorted(everloop.__all__)


def test_every_error_a_user_can_meet_is_importable() -> None:
    found = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert found <= set(everloop.__all__)


def test_editors_are_told_the_same_names_as_the_interpreter() -> None:
    tree = ast.parse(Path(everloop.__file__).read_text())
    told = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(told) == set(everloop.__all__) - {"__version__"}
    for name, module in told.items():
        assert getattr(everloop, name).__module__ == module
