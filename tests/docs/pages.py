"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)(?P=fence)[ ]*$", re.M | re.S
)
_WORD = re.compile(r'([\w-]+)="([^"]*)"')
RUN = ("bash", "python", "yaml")
SHOWN = ("text", "json", "ini")


@dataclass(frozen=True)
class Block:
    """A fenced block. After its language may stand ``no-run="reason"``, ``exit="21"`` (of its last command)
    and ``file="everloop.yaml"`` (write the block there)."""

    page: Path
    line: int
    language: str
    options: dict[str, str]
    code: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """The read-me, what is in docs/, and the pages people look for beside them."""
    top = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [*(page for page in top if page.is_file()), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [_block(page, text, match) for match in _FENCE.finditer(text)]


def prose(page: Path) -> str:
    """The page without its blocks and without what stands in backticks."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text(encoding="utf-8")))


def _block(page: Path, text: str, match: re.Match[str]) -> Block:
    language, _, rest = match["info"].strip().partition(" ")
    line = text.count("\n", 0, match.start()) + 1
    indent = len(match["indent"])
    code = "".join(part[indent:] for part in match["code"].splitlines(keepends=True))
    return Block(page, line, language, dict(_WORD.findall(rest)), code)
