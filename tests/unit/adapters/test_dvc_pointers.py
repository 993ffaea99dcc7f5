"""What ``.dvc`` files and ``dvc.lock`` say, in each form that DVC has written."""

from __future__ import annotations

import pytest

from everloop.adapters.dvc.pointers import is_pointer, read_pointers
from everloop.core.dvc import Pointer
from everloop.core.errors import Unreadable

A, B = "a" * 32, "0123456789" * 3 + "01"


def test_a_file_of_dvc_3_and_one_of_dvc_2() -> None:
    now = read_pointers("data/x.csv.dvc", f"outs:\n- md5: {A}\n  size: 3\n  hash: md5\n  path: x.csv\n")
    assert now == [Pointer("data/x.csv.dvc", "data/x.csv", A)]
    before = read_pointers("x.csv.dvc", f"md5: {B}\nouts:\n- md5: {A}\n  size: 3\n  path: x.csv\n")
    assert before == [Pointer("x.csv.dvc", "x.csv", A, legacy=True)]


def test_names_are_those_of_yaml_1_2() -> None:
    """In YAML 1.1 ``no`` is false, and an md5 of digits alone is quoted by DVC and stays text."""
    [pointer] = read_pointers("no.dvc", f"outs:\n- md5: '{B}'\n  hash: md5\n  path: no\n")
    assert (pointer.path, pointer.md5) == ("no", B)


def test_a_folder_a_working_folder_and_a_remote_of_its_own() -> None:
    text = f"wdir: ../raw\nouts:\n- md5: {A}.dir\n  hash: md5\n  path: images\n  remote: big\n"
    [pointer] = read_pointers("data/images.dvc", text)
    assert pointer == Pointer("data/images.dvc", "raw/images", f"{A}.dir", remote="big")
    assert pointer.is_folder


@pytest.mark.parametrize(
    "out",
    [
        "path: x.csv",
        f"path: s3://bucket/x.csv\n  md5: {A}",
        "path: x.csv\n  md5: not-an-md5",
        f"path: x.csv\n  md5: {A}\n  cache: false",
    ],
    ids=["never-made", "outside", "no-md5", "in-git"],
)
def test_what_dvc_keeps_no_object_of(out: str) -> None:
    assert read_pointers("x.csv.dvc", f"outs:\n- {out}\n") == []


def test_a_lock_with_stages_of_a_working_folder_and_of_a_loop() -> None:
    outs = f"    outs:\n    - path: out.csv\n      hash: md5\n      md5: {A}\n"
    lock = f"schema: '2.0'\nstages:\n  one:\n    cmd: a\n{outs}  many@x:\n    cmd: b\n{outs}"
    pipeline = "stages:\n  one: {cmd: a, wdir: sub}\n  many: {foreach: [x], do: {cmd: b, wdir: each}}\n"
    found = read_pointers("p/dvc.lock", lock, pipeline)
    assert [pointer.path for pointer in found] == ["p/sub/out.csv", "p/each/out.csv"]
    assert [pointer.path for pointer in read_pointers("p/dvc.lock", lock)] == ["p/out.csv"] * 2


def test_the_folder_of_a_stage_may_be_a_template() -> None:
    lock = "schema: '2.0'\nstages:\n" + "".join(
        f"  many@{name}:\n    outs:\n    - {{path: out.csv, hash: md5, md5: {A}}}\n" for name in "xy"
    )
    pipeline = "stages: {many: {foreach: [x, y], do: {cmd: a, wdir: '${item}'}}}\n"
    asked: list[int] = []

    def resolve() -> dict[str, str]:
        asked.append(1)
        return {"many@x": "p/x", "many@y": "p/y"}

    found = read_pointers("p/dvc.lock", lock, pipeline, resolve)
    assert [pointer.path for pointer in found] == ["p/x/out.csv", "p/y/out.csv"]
    assert len(asked) == 1
    assert read_pointers("p/dvc.lock", lock, pipeline) == []  # stages that DVC knows no more


def test_a_lock_of_the_first_form() -> None:
    [pointer] = read_pointers("dvc.lock", f"one:\n  cmd: a\n  outs:\n  - path: out.csv\n    md5: {A}\n")
    assert pointer == Pointer("dvc.lock", "out.csv", A, legacy=True)


@pytest.mark.parametrize(
    "text", ["<<<<<<< HEAD\nouts: [", "just text", "- a\n- b\n", "outs: [a.csv]", "outs: a.csv"]
)
def test_what_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(Unreadable, match=r"x\.csv\.dvc"):
        read_pointers("x.csv.dvc", text)


def test_a_lock_that_cannot_be_read_is_named() -> None:
    for text in ("schema: '2.0'\nstages: [a]\n", f"a: {{outs: [{A}]}}\n"):
        with pytest.raises(Unreadable, match=r"p/dvc\.lock"):
            read_pointers("p/dvc.lock", text)
    lock = f"schema: '2.0'\nstages: {{a: {{outs: [{{path: x, hash: md5, md5: {A}}}]}}}}\n"
    assert len(read_pointers("p/dvc.lock", lock, "stages: [a]")) == 1
    with pytest.raises(Unreadable, match=r"p/dvc\.yaml is not YAML: .* in line 1\."):
        read_pointers("p/dvc.lock", lock, "stages: [")


@pytest.mark.parametrize(
    ("path", "shown"),
    [("../../evil.csv", "../evil.csv"), ("/etc/evil.csv", "/etc/evil.csv"), ("../..", "..")],
)
def test_what_lies_outside_of_the_project_is_refused(path: str, shown: str) -> None:
    text = f"outs:\n- md5: {A}\n  hash: md5\n  path: {path}\n"
    with pytest.raises(Unreadable, match=rf"data/x\.csv\.dvc names '{shown}', which lies outside"):
        read_pointers("data/x.csv.dvc", text)


def test_an_empty_pointer_names_nothing() -> None:
    assert read_pointers("x.csv.dvc", "") == []
    assert read_pointers("dvc.lock", "schema: '2.0'\n") == []


def test_which_files_are_pointers() -> None:
    assert [
        is_pointer(p) for p in ("a/x.csv.dvc", "dvc.lock", "a/dvc.lock", ".dvc", "a/.dvc", "x.dvcignore")
    ] == [
        *(True, True, True),
        *(False, False, False),
    ]
