"""What a terminal needs: colour or none, width, wrapping, tables, and evidence made harmless to print."""

from __future__ import annotations

import os
import shutil
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TextIO

ColorChoice = Literal["auto", "always", "never"]
PIPE_WIDTH: Final = 100  # lines of a file or pipe are read in editors and web pages
NARROWEST: Final = 40
_GAP: Final = 2  # blanks before each column
_FILLER: Final = "\ue000"  # for private use: `clean` escapes it

_STYLES: Final[dict[str, str]] = {
    "error": "1;31",
    "warning": "1;33",
    "info": "1;36",
    "good": "1;32",
    "head": "1",
    "dim": "2",
    "command": "36",
    "bad": "31",
    "odd": "33",
    "ok": "32",
}


def wants_color(choice: ColorChoice, stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """The one decision about colour: the option, then NO_COLOR, then FORCE_COLOR, then whether it is a terminal."""
    environ = os.environ if environ is None else environ
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "") not in {"", "0"}:
        return True
    return stream.isatty() and environ.get("TERM") != "dumb"


def width_of(stream: TextIO) -> int:
    """Columns to write for: COLUMNS, else the terminal's, else a width that reads well in a file."""
    if stream.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return max(NARROWEST, shutil.get_terminal_size((PIPE_WIDTH, 24)).columns)
    return PIPE_WIDTH


def clean(text: str) -> str:
    """`text` with everything escaped that could move the cursor, hide or reorder what is printed."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(letter) for letter in text)


def _shown(letter: str) -> str:
    if letter == "\t":
        return "  "
    if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}:
        code = ord(letter)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return letter


def columns(text: str) -> int:
    """How many columns `text` takes; wide letters take two, combining ones none."""
    if text.isascii():
        return len(text)
    total = 0
    for letter in text:
        if not unicodedata.combining(letter):
            total += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
    return total


@dataclass(frozen=True, slots=True)
class Screen:
    """Where text goes: its width, and whether it has colour."""

    width: int = PIPE_WIDTH
    color: bool = False

    def paint(self, text: str, style: str) -> str:
        """`text` in this style, or as it is without colour."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.color and text else text

    def wrap(self, text: str, first: str = "", rest: str | None = None, style: str = "") -> list[str]:
        """`text` in lines of this width; `first` and `rest` stand before the first and the other lines."""
        rest = " " * columns(first) if rest is None else rest
        lines = _wrapped(clean(text), self.width, first, rest) or [first.rstrip()]
        if not style:
            return lines
        painted = [first + self.paint(lines[0][len(first) :], style)]
        return painted + [rest + self.paint(line[len(rest) :], style) for line in lines[1:]]

    def command(self, text: str, indent: str) -> list[str]:
        """A command in one piece, however long: a wrapped one cannot be copied."""
        return [f"{indent}{self.paint('$', 'dim')} {self.paint(clean(text), 'command')}"]

    def table(
        self,
        heads: Sequence[str],
        rows: Sequence[Sequence[str]],
        spare: Sequence[str] = (),
        styles: Mapping[str, str] | None = None,
    ) -> list[str]:
        """A table that fits the width: columns that say nothing go, then those in `spare`, then cells are folded.

        `styles` maps a cell's text to its style.
        """
        import tabulate  # noqa: PLC0415 - 50 ms that only this needs

        tabulate.MIN_PADDING = 0  # else each head takes two columns more than it has letters
        cells = [[clean(cell) for cell in row] for row in rows]
        keep = [at for at in range(len(heads)) if any(row[at] for row in cells)]
        for name in (None, *spare):
            keep = [at for at in keep if heads[at] != name]
            widths = {at: max(columns(heads[at]), *(columns(row[at]) for row in cells)) for at in keep}
            if sum(widths.values()) + _GAP * len(keep) <= self.width:
                break
        while sum(widths.values()) + _GAP * len(keep) > self.width:
            widest = max(keep, key=lambda at: widths[at])
            if widths[widest] <= max(6, columns(heads[widest])):
                break
            widths[widest] -= 1
        folded = [[_fold(row[at], widths[at]) for at in keep] for row in cells]
        text = tabulate.tabulate(
            folded, [heads[at] for at in keep], tablefmt="simple", disable_numparse=True, preserve_whitespace=True
        )
        lines = [f"  {line}" for line in text.splitlines()]
        if not self.color:
            return lines
        lines[0] = self.paint(lines[0], "head")
        lines[1] = self.paint(lines[1], "dim")
        for word, style in sorted((styles or {}).items(), key=lambda item: -len(item[0])):
            lines[2:] = [_paint_word(self, line, word, style) for line in lines[2:]]
        return lines


def _paint_word(screen: Screen, line: str, word: str, style: str) -> str:
    # Only a whole cell: it stands between the gaps of two blanks or at the end.
    padded = f"  {line}  "
    at = padded.find(f"  {word}  ")
    if at < 0 or "\x1b" in padded[max(0, at - 8) : at + len(word) + 8]:
        return line
    return line[:at] + screen.paint(word, style) + line[at + len(word) :]


def _fold(cell: str, width: int) -> str:
    if columns(cell) <= width:
        return cell
    return "\n".join(_wrapped(cell, width)) or cell


def _wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    # textwrap counts letters: behind a wide one goes a filler, which no cleaned text holds, until the lines are made.
    if not text.isascii():
        text = "".join(letter + _FILLER * (columns(letter) - 1) for letter in text)
    lines = textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return [line.replace(_FILLER, "") for line in lines]
