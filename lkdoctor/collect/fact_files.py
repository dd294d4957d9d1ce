"""Reads and writes files that hold one fact a line, as JSON: what lkdoctor measured itself, kept in a case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Union

import msgspec

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.kinds import FileKind, named
from lkdoctor.dispatch.facts import Fact, Place
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.redact import mask


def read_facts(lines: Iterable[bytes], name: str, gathered: Gathered, kind: FileKind) -> None:
    """Add each line's fact to `gathered`; a line that holds none costs only itself, and is counted in the note."""
    note = SourceNote(name, kind.name)
    gathered.notes.append(note)
    classes: list[type[Fact]] = [named(one) for one in kind.facts]
    decoder: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Union[tuple(classes)])  # noqa: UP007 - made at run time
    note.lines = used = 0
    for line in lines:
        at = note.bytes
        note.bytes += len(line)
        note.lines += 1
        if not line.strip():
            continue
        try:
            found = decoder.decode(mask(line.decode()))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            reason = f"line that is no {' or '.join(one.__name__ for one in classes)}: {mask(str(error))[:120]}"
            note.skipped[reason] = note.skipped.get(reason, 0) + 1
            continue
        gathered.add(msgspec.structs.replace(found, place=Place(name, at)))
        used += 1
    if note.skipped and not used:
        note.unusable = f"no line of it could be read: {next(iter(note.skipped))}"


def write_facts(gathered: Gathered, kind: FileKind) -> Iterator[bytes]:
    """The lines that `read_facts` reads: all facts of this kind."""
    wanted = set(kind.facts)
    known = [facts for one, facts in gathered.facts.items() if f"{one.__module__}:{one.__name__}" in wanted]
    for one in (fact for facts in known for fact in facts):
        fields = msgspec.to_builtins(one)
        del fields["place"]
        yield msgspec.json.encode(fields) + b"\n"
