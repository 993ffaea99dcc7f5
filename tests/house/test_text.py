"""Every text of the repository: no traces of one machine, nothing invisible, nothing overgrown."""

from __future__ import annotations

import ast
import re
import unicodedata
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.house import ROOT, SOURCE, repository_files, source_files

MAX_LINES = 450
MAX_TEST_LINES = 650  # a story may be longer
BINARY = {".pack", ".manifest", ".png", ".parquet", ".skops", ".gz", ".zip", ".ico", ".woff2", ".db"}
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}

MACHINE_PATH = re.compile(r"(?<![\w.~$}-])/(?:root|work|home/\w+|Users/\w+|opt/\w+)/[\w.]")
URL = re.compile(r"https?://[^\s\"'`<>)\]}|,\\]+")
PIP_SOURCE = re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host")
INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
ALLOWED_CONTROLS = "\n\t"
EMOJI_JOINERS = "\u200d"


def machine_paths(text: str) -> list[str]:
    return [match.group() for match in MACHINE_PATH.finditer(text)]


def private_hosts(text: str) -> list[str]:
    """URLs whose host only one network knows: a private address, a local domain, a package index."""
    return [url for url in URL.findall(text) if is_private(url)]


def is_private(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False  # a pattern or an example of a broken URL, not an address
    if not re.fullmatch(r"[\w.-]+", host):
        return False
    if "/simple" in parts.path:
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return host.endswith((".internal", ".local", ".lan", ".corp"))
    return not (address.is_loopback or address.is_unspecified)


def invisible(text: str) -> list[str]:
    return [
        f"U+{ord(c):04X}"
        for c in sorted(set(text))
        if unicodedata.category(c) in INVISIBLE and c not in ALLOWED_CONTROLS + EMOJI_JOINERS
    ]


def problems(path: Path, text: str) -> list[str]:
    found = [f"holds a path of one machine: {part}" for part in machine_paths(text)]
    found += [f"holds a host that others cannot reach: {url}" for url in private_hosts(text)]
    found += [f"holds a character that nobody sees: {code}" for code in invisible(text)]
    if text and not text.endswith("\n"):
        found.append("does not end with a line end")
    most = MAX_LINES if path.parts[0] == "src" else MAX_TEST_LINES
    if path.suffix == ".py" and (lines := text.count("\n")) > most:
        found.append(f"has {lines} lines, more than {most}")
    return [f"{path} {problem}" for problem in found]


def test_every_text_is_clean() -> None:
    found = [
        problem
        for path in repository_files()
        if path.suffix not in BINARY
        for problem in problems(path, (ROOT / path).read_text(encoding="utf-8"))
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("check", "bad", "good"),
    [
        (
            machine_paths,
            "see /ro" + "ot/x and /wo" + "rk/main",
            "docs/work/x, /usr/lib/x, ~/work/x, https://a.b/home/c",
        ),
        (
            private_hosts,
            "http://mirror.lo" + "cal:80/x",
            "http://localhost:5000/x https://github.com/a http://127.0.0.1/",
        ),
        (private_hosts, "https://a.b/sim" + "ple/x", "https://a.b/samples/x"),
        (private_hosts, "http://10.0" + ".0.7/x", "https://docs.python.org/3/"),
        (invisible, "a\u200bb", "×–…\té\n"),
        (invisible, "a\u202eb", "│├└─"),
        (invisible, "a\x1bb", "ok"),
    ],
)
def test_the_checks_notice(check, bad: str, good: str) -> None:
    assert check(bad)
    assert not check(good)


def test_the_lock_names_no_source_of_packages() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert not PIP_SOURCE.search(text)
    assert "--hash=sha256:" in text


def test_every_module_says_what_it_is() -> None:
    silent = [
        p
        for p in source_files()
        if not ast.get_docstring(ast.parse((SOURCE / p).read_text(encoding="utf-8")))
    ]
    assert not silent, [str(path) for path in silent]


def test_no_name_is_vague() -> None:
    vague = [p for p in source_files() if VAGUE & {part.removesuffix(".py") for part in p.parts}]
    assert not vague, [str(path) for path in vague]


def test_an_overgrown_file_is_noticed() -> None:
    assert problems(Path("src/a.py"), "x = 1\n" * (MAX_LINES + 1))
    assert not problems(Path("src/a.py"), "x = 1\n" * MAX_LINES)
    assert problems(Path("tests/a.py"), "x = 1\n" * (MAX_TEST_LINES + 1))
