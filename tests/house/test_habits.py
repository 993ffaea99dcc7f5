"""What people expect to find in a repository is there, and says the truth."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from hashlib import sha256
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import everloop
from tests.house import ROOT, SOURCE, source_files
from tests.house.test_single_entry import imported

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
# The text of the licence as the Apache Software Foundation publishes it, white space aside.
APACHE_2 = "0ffddef9e48f8a09aed5caf2d44f7ba1c1be2d9b8e0a6f693b1635b2d5566645"


def requirements() -> list[Requirement]:
    """Everything that pyproject.toml asks for, extras and tools included."""
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    every = [Requirement(line) for line in [*PROJECT["dependencies"], *extras, *GROUPS["dev"]]]
    return [requirement for requirement in every if requirement.name != "everloop"]


def locked() -> dict[str, Version]:
    pins = re.findall(
        r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;\\]+)", (ROOT / "requirements.lock").read_text(), re.M
    )
    return {canonicalize_name(name): Version(version) for name, version in pins}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "README.md",
            "LICENSE",
            "CHANGELOG.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "Makefile",
            "requirements.lock",
        ),
        *(".pre-commit-config.yaml", ".editorconfig", ".gitattributes", ".github/workflows/ci.yml"),
        "src/everloop/py.typed",
    ],
)
def test_a_file_that_people_look_for_is_there(name: str) -> None:
    assert (ROOT / name).is_file()
    assert name.endswith("py.typed") or (ROOT / name).read_text().strip()


def test_the_licence_is_apache_2_and_said_so() -> None:
    words = " ".join((ROOT / "LICENSE").read_text().split())
    assert sha256(words.encode()).hexdigest() == APACHE_2
    assert PROJECT["license"] == "Apache-2.0"


@pytest.mark.parametrize("name", [".ci/run", "scripts/setup"])
def test_a_script_can_be_run(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    shell = "bash" if name == ".ci/run" else "sh"
    subprocess.run([shell, "-n", ROOT / name], check=True, timeout=30)


def test_the_two_commands_stand_at_the_top_of_the_readme() -> None:
    top = "\n".join((ROOT / "README.md").read_text().splitlines()[:25])
    assert "make demo" in top
    assert "make test" in top


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.M)[0].split())
    shown = subprocess.run(
        ["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=30
    ).stdout
    assert set(re.findall(r"^  make (\S+)", shown, re.M)) == targets
    assert {"demo", "test", "check", "bench", "lock"} <= targets


def test_the_changelog_knows_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[?({re.escape(everloop.__version__)}|Unreleased)\b", changelog, re.M)


def test_the_lock_holds_what_the_project_asks_for() -> None:
    pins = locked()
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not in requirements.lock: run make lock"
        assert pins[name] in requirement.specifier, (
            f"{name} {pins[name]} is locked, {requirement} is asked for"
        )


def test_what_the_code_imports_is_asked_for() -> None:
    """A library that is only there because another one needs it would be gone one day."""
    asked = {canonicalize_name(requirement.name) for requirement in requirements()}
    providers = packages_distributions()
    missing = set()
    for path in source_files():
        for line, module in imported(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
            top = module.partition(".")[0]
            if top == "everloop" or top in sys.stdlib_module_names:
                continue
            if not {canonicalize_name(name) for name in providers.get(top, [top])} & asked:
                missing.add(f"{path}:{line} {module}")
    assert not missing


def test_what_the_project_asks_for_is_imported() -> None:
    """A dependency that nothing imports costs every user for nothing."""
    bounds_only = {"protobuf"}
    providers = packages_distributions()
    used = {
        canonicalize_name(name)
        for path in source_files()
        for _, module in imported(ast.parse((SOURCE / path).read_text(encoding="utf-8")))
        for name in providers.get(module.partition(".")[0], [])
    }
    asked = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert asked - used <= bounds_only
