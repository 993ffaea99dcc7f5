"""Permissions of files that count for the tests, also where root runs them, who is let in everywhere."""

from __future__ import annotations

import os
import shutil

from tests.servers import missing


def ordinary() -> list[str]:
    """The beginning of a command whose process has no power over the permissions of files."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        missing("setpriv", "util-linux")
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
