"""Finds codes by number, name, alias or pattern, and says "did you mean" when there is none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator

from lkdoctor.doctor.codes import CODES
from lkdoctor.doctor.finding import Code

_PATTERN = re.compile(r"([A-Z]+)(\d{1,3})(X{0,2})", re.ASCII)


class UnknownCodeError(LookupError):
    """No code goes by this word; the message carries the nearest ones."""


class Catalogue:
    """The built-in codes and those of other people's checks."""

    def __init__(self, codes: Iterable[Code] = CODES) -> None:
        """Index `codes` by id, name and alias."""
        self._codes = tuple(sorted(codes, key=lambda one: (one.prefix != "LKD", one.prefix, one.number)))
        self._by_word: dict[str, Code] = {}
        for code in self._codes:
            for word in (code.id.lower(), code.name, *code.aliases):
                self._by_word.setdefault(word, code)

    def __iter__(self) -> Iterator[Code]:
        return iter(self._codes)

    def find(self, word: str) -> Code:
        """The one code that `word` names: `LKD303`, `303`, `no-headroom` or an alias; case does not count.

        Raises:
            UnknownCodeError: none does.
        """
        key = word.strip().lower().replace("_", "-")
        found = self._by_word.get(key) or self._by_word.get(f"lkd{key}")
        if found is None:
            raise UnknownCodeError(self._unknown(word))
        return found

    def select(self, word: str) -> frozenset[Code]:
        """The codes that `word` names: what `find` takes, or a family as `LKD3xx`, `LKD3`, `LKD30`.

        Raises:
            UnknownCodeError: none does.
        """
        match = _PATTERN.fullmatch(word.strip().upper())
        if match and (match[3] or len(match[2]) < 3):
            prefix, digits = match[1], match[2]
            if len(digits) + len(match[3]) in {len(digits), 3}:
                family = {one for one in self._codes if one.prefix == prefix and str(one.number).startswith(digits)}
                if family:
                    return frozenset(family)
        return frozenset({self.find(word)})

    def _unknown(self, word: str) -> str:
        near = difflib.get_close_matches(word.strip().lower(), list(self._by_word), n=3, cutoff=0.6)
        names = list(dict.fromkeys(f"{self._by_word[one].id} ({self._by_word[one].name})" for one in near))
        hint = f" Did you mean {' or '.join(names)}?" if names else ""
        return f"there is no code or name {word!r}.{hint} `lkdoctor checks` lists them all."
