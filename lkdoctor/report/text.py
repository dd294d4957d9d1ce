"""The report for people: verdict first, then causes with proof and fix, then what is open, then the tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from heapq import nsmallest
from typing import Final

import msgspec

from lkdoctor.report import containers, live, load, markers, probes, talks, tokens
from lkdoctor.report.json_v1 import Dispatch, Finding, Fix, Proof, Question, Report
from lkdoctor.report.many import bare
from lkdoctor.report.roster import worker_table
from lkdoctor.report.screen import Screen, clean
from lkdoctor.report.words import agent, clock, headline, looked_at, open_question, took, usable, where
from lkdoctor.wording import counted

_OWN: Final = ("caveats", "verify", "undo")  # of a fix that is told again, what the first one did not say
PROOFS: Final = 3  # proof lines of one finding without -v
ROWS: Final = 40  # rows of a table without -v
PROOF_ROWS: Final = 3  # lines that one proof may take without -v ...
PROOF_LENGTH: Final = 320  # ... but on a narrow screen as many as its fields need

STYLES: Final = {
    "assigned": "ok",
    "joined": "ok",
    "name-not-served": "bad",
    "no-response": "bad",
    "no-headroom": "bad",
    "declined": "bad",
    "answer-timeout": "bad",
    "rejected-terminally": "bad",
    "worker-closed": "bad",
    "never-joined": "bad",
    "not-assigned": "odd",
    "unknown": "odd",
    "pending": "odd",
    "waiting": "odd",
}
_THE_WAY: Final = frozenset(f"LKD{number}" for number in range(101, 108))
AT_FAULT: Final = frozenset(word for word, style in STYLES.items() if style != "ok")


def write(report: Report, screen: Screen, *, quiet: bool = False, verbose: bool = False) -> str:
    """The whole text, ending in a newline."""
    lines = Text(report, screen, verbose).brief() if quiet else Text(report, screen, verbose).full()
    return "\n".join(lines) + "\n"


class Text:
    """One report on one screen."""

    def __init__(self, report: Report, screen: Screen, verbose: bool) -> None:
        self.report = report
        self.screen = screen
        self.verbose = verbose
        self._told: dict[tuple[str, tuple[str, ...]], tuple[Fix, str]] = {}  # fixes in full, and under which code
        self._symptoms = {one.fingerprint: one for one in report.symptoms}

    def brief(self) -> list[str]:
        """One line for the verdict and one for each finding."""
        lines = [self._verdict_line().replace("What to fetch stands below", "Without -q it says what to fetch")]
        lines[0] = lines[0].replace(
            "what this evidence cannot tell stands below", "without -q it says what it cannot tell"
        )
        for one in self.report.findings:
            times = _times(one)
            mark = self.screen.paint(one.severity, one.severity)
            lines.append(f"{mark} {one.code} {one.name}: {clean(one.message)}{times}")
        return lines

    def full(self) -> list[str]:
        """Everything."""
        worse = [one for one in self.report.findings if one.severity != "info"]
        infos = [one for one in self.report.findings if one.severity == "info"]
        infos_first = not worse and self.report.verdict == "healthy"
        parts = [
            self._verdict(),
            tokens.lines(self.report.tokens, self.screen),
            *([self._worth_knowing(infos)] if infos_first else []),
            *(self.finding(one) for one in worse),
            self._open(),
            self._dispatches(),
            self._workers(),
            markers.lines(self.screen, self.report.markers, verbose=self.verbose),
            *self._live(),
            *([] if infos_first else [self._worth_knowing(infos)]),
            self._inputs(),
            self._checks() if self.verbose else [],
            self._left_out(),
        ]
        lines: list[str] = []
        for part in filter(None, parts):
            lines += ["", *part] if lines else part
        return lines

    def _verdict_line(self) -> str:
        style = {"healthy": "good", "problems": "error", "inconclusive": "warning"}[self.report.verdict]
        return self.screen.paint(clean(headline(self.report)), style)

    def _verdict(self) -> list[str]:
        style = {"healthy": "good", "problems": "error", "inconclusive": "warning"}[self.report.verdict]
        lines = self.screen.wrap(headline(self.report), style=style)
        if any(usable(one) for one in self.report.sources):
            lines += self.screen.wrap(looked_at(self.report), style="dim")
        return lines

    def _head(self, title: str) -> list[str]:
        return [self.screen.paint(title, "head")]

    def finding(self, one: Finding) -> list[str]:
        """One cause: what, proof, fix, and what it explains."""
        screen = self.screen
        sure = "" if one.confidence == "high" else f", {one.confidence} confidence"
        sure += ": shown, not counted" if one.confidence == "low" else ""
        times = f", {one.count:,} times" if one.count > 1 else ""
        head = f"{one.severity.upper()} {one.code} {one.name}"
        tail = f"  {where(one)}{times}{sure}"
        if len(head) + len(tail) > screen.width:
            lines = [*screen.wrap(head, "", "  ", style=one.severity), *screen.wrap(tail.strip(), "  ", "  ")]
        else:
            lines = [screen.paint(head, one.severity) + screen.paint(clean(tail), "dim")]
        lines += screen.wrap(one.message, "  ", "  ")
        if one.count > 1 and one.first_at and one.last_at and one.first_at != one.last_at:
            span = f"first {clock(one.first_at)}, last {clock(one.last_at)} UTC"
            lines += screen.wrap(span, "  ", "  ", style="dim")
        lines += self._proof(one.proof)
        for fix in one.fixes:
            lines += self._fix(fix, one.code)
        beneath = [self._symptoms[mark] for mark in one.explains if mark in self._symptoms]
        for symptom in beneath:
            told = screen.wrap(f"{symptom.code} {symptom.name}: {symptom.message}", "  -> explains ", "     ")
            lines += [told[0].replace("-> explains", screen.paint("-> explains", "dim"), 1), *told[1:]]
            if self.verbose:
                lines += self._proof(symptom.proof, "    ")
        return lines

    def _proof(self, proof: Sequence[Proof], indent: str = "  ") -> list[str]:
        lines: list[str] = []
        shown = proof if self.verbose else proof[:PROOFS]
        for one in shown:
            at = one.source if one.line is None else f"{one.source}:{one.line}"
            if one.line is None and one.offset is not None:
                at += f" byte {one.offset}"
            lines += self._quote(at, one.text, indent)
        if len(shown) < len(proof):
            lines.append(self.screen.paint(f"{indent}  … {len(proof) - len(shown)} more lines with -v", "dim"))
        return lines

    def _quote(self, at: str, text: str, indent: str) -> list[str]:
        """One line of evidence; a long one is cut, for a `starting RTC session` line has 16,000 characters."""
        screen = self.screen
        bar = f"{indent}| "
        room = screen.width - len(bar)
        text = clean(text).strip()
        limit = max(room * PROOF_ROWS, PROOF_LENGTH) - len(at) - 2
        if not self.verbose and len(text) > limit:
            text = f"{text[: limit - 30]} … ({len(text):,} characters)"
        lines = screen.wrap(f"{at}  {text}", bar, bar)
        if screen.color:
            lines = [line.replace(bar, indent + screen.paint("| ", "dim"), 1) for line in lines]
            lines[0] = lines[0].replace(clean(at), screen.paint(clean(at), "head"), 1)
        return lines

    def _fix(self, fix: Fix, code: str) -> list[str]:
        """What to do; a fix that stands above in full is named with what is its own."""
        screen = self.screen
        known, where_told = self._told.setdefault((fix.title, tuple(fix.steps)), (fix, code))
        risk = " (may interrupt something: read the notes)" if fix.safety == "unsafe" else ""
        if known is not fix:
            risk = f" (as above, under {where_told})"
            own = {key: [line for line in getattr(fix, key) if line not in getattr(known, key)] for key in _OWN}
            fix = msgspec.structs.replace(fix, steps=[], **own)
        lines = screen.wrap(f"{fix.title}{risk}", "  Fix: ", "       ")
        lines[0] = lines[0].replace("Fix:", screen.paint("Fix:", "good"), 1)
        for number, step in enumerate(fix.steps, 1):
            lines += screen.wrap(step, f"    {number}. ")
        for command in fix.commands:
            lines += screen.command(command, "    ")
        for caveat in fix.caveats:
            lines += screen.wrap(caveat, "    note: ")
        for step in fix.verify:
            lines += screen.wrap(step, "    then check: ")
        if self.verbose:
            for step in fix.undo:
                lines += screen.wrap(step, "    to undo: ")
        return lines

    def _open(self) -> list[str]:
        lines: list[str] = []
        for (reason, missing), group in _grouped(bare(self.report.dispatches)).items():
            if any(reason in question.missing for question in self.report.questions):
                continue
            same = [one for one in group if not self._found(one, reason)]
            if not same:
                continue
            names = [f"{agent(one.agent_name)} in {one.room or 'a room that is not named'}" for one in same]
            lines += self.screen.wrap(f"{_some(names)}: {reason}", "  - ")
            if missing:
                lines += self.screen.wrap(missing, "    to know: ")
        # Why the way to a server is shut stands above; that its API could not be asked either is no further question.
        shut = any(one.code in _THE_WAY and one.confidence != "low" for one in self.report.findings)
        for gap in self.report.gaps:
            if not (shut and gap.startswith("the server's API: ListRooms ")):
                lines += self.screen.wrap(gap, "  - ")
        for question in self.report.questions:
            lines += self._question(question)
        return self._head("Cannot be told from this evidence") + lines if lines else []

    def _found(self, dispatch: Dispatch, reason: str) -> bool:
        """Does a finding that counts say the same of this agent, with what to do? Then it is no question beside it."""
        why = reason.rpartition(", and ")[2]
        return any(
            one.subject.agent_name == dispatch.agent_name and one.confidence != "low" and why in one.message
            for one in self.report.findings
        )

    def _question(self, one: Question) -> list[str]:
        lines = self.screen.wrap(f"{one.code} {one.name}: {one.missing}", "  - ")
        if one.how:
            lines += self.screen.wrap(one.how, "    to know: ")
        return lines + (self._proof(one.proof, "    ") if self.verbose else [])

    def _dispatches(self) -> list[str]:
        listed = self.report.dispatches
        if not listed:
            return []
        missed = (lambda _: True) if self.verbose else self._missed()
        several = sum(missed(one) for one in bare(listed))
        quiet = len(listed) - several
        every = (one for one in bare(listed) if missed(one))
        shown = list(every) if self.verbose or several <= ROWS else _worst(every)
        several_days = len({one.asked_at[:10] for one in shown if one.asked_at}) > 1
        rows = [
            [
                clock(one.asked_at, date=several_days),
                one.room,
                agent(one.agent_name),
                one.outcome,
                one.after or "",
                took(one.seconds),
                (one.job_type or "").removeprefix("JT_"),
                one.worker_id or "",
                one.job_id or "",
            ]
            for one in shown
        ]
        heads = ["asked (UTC)", "room", "agent", "outcome", "then", "took", "type", "worker", "job"]
        spare = ["job", "type", "took", "worker", "asked (UTC)"]
        title = f"Dispatches ({self.report.totals.dispatches:,})"
        lines = self._head(title) + self.screen.table(heads, rows, spare, STYLES)
        if quiet:
            told = f"… and {quiet:,} for the unnamed agent, beside a named one: nobody misses it; -v shows them"
            lines += self.screen.wrap(told, "  ", "    ", style="dim")
        rest = self.report.totals.dispatches - len(shown) - quiet
        if rest > 0:
            how = "-v shows them" if several > len(shown) else "--all lists them"
            lines.append(self.screen.paint(f"  … and {rest:,} more; {how}", "dim"))
        return lines

    def _missed(self) -> Callable[[Dispatch], bool]:
        """CreateDispatch on a new room also asks for the unnamed worker. Where there is none, a red row would frighten
        for nothing; but not where a finding speaks of the unnamed worker."""
        if any(one.subject.agent_name == "" for one in self.report.findings if one.severity != "info"):
            return lambda _: True
        named = {(one.room, one.room_id) for one in bare(self.report.dispatches) if one.origin != "implicit"}
        return lambda one: (
            one.origin != "implicit"
            or one.outcome not in {"no-response", "not-assigned"}
            or (one.room, one.room_id) not in named
        )

    def _workers(self) -> list[str]:
        workers = self.report.workers
        if not workers:
            return []
        shown = workers if self.verbose else workers[:ROWS]
        lines = self._head(f"Workers ({len(workers):,})") + worker_table(shown, self.screen)
        if len(shown) < len(workers):
            lines.append(self.screen.paint(f"  … and {len(workers) - len(shown):,} more; -v shows them", "dim"))
        return lines

    def _live(self) -> list[list[str]]:
        """What only a live server or a token tells: one part each."""
        report = self.report
        return [
            live.server(report.server, report.credentials, self.screen, {one.server_version for one in report.sources}),
            containers.lines(report.containers, self.screen),
            live.endpoints(report.endpoints, self.screen),
            live.connection(report.connection, self.screen, verbose=self.verbose),
            probes.lines(self.screen, report.probes),
            load.lines(self.screen, report.load),
            talks.lines(self.screen, report.talks, verbose=self.verbose),
        ]

    def _worth_knowing(self, infos: Iterable[Finding]) -> list[str]:
        lines: list[str] = []
        for one in infos:
            times = _times(one)
            lines += self.screen.wrap(f"{one.code} {one.name}: {one.message}{times}", "  - ")
            if self.verbose:
                lines += self._proof(one.proof, "    ")
                narrower = Text(self.report, replace(self.screen, width=self.screen.width - 2), verbose=True)
                lines += [f"  {line}" for fix in one.fixes for line in narrower._fix(fix, one.code)]
        return self._head("Worth knowing") + lines if lines else []

    def _inputs(self) -> list[str]:
        lines: list[str] = []
        for one in self.report.sources:
            told = any(one.name in finding.message for finding in self.report.findings if finding.code == "LKD903")
            notes = [*([one.unusable] if one.unusable and not told else []), *one.notes]
            what = "missing" if "://" in one.name else "skipped"  # of a live server answers, of a file its records
            notes += [
                f"{counted(number, 'answer' if what == 'missing' else 'record')} {what}: {reason}"
                for reason, number in sorted(one.skipped.items())
            ]
            for note in notes:
                known = note.partition("; ")[0]  # what follows says only that it is used all the same
                if any(note.rpartition(": ")[2] in gap or known in gap for gap in self.report.gaps):
                    continue
                lines += self.screen.wrap(f"{one.name}: {note}", "  - ")
        return self._head("About the input") + lines if lines else []

    def _checks(self) -> list[str]:
        lines = self._head("Checks")
        for one in self.report.checks:
            style = {"passed": "ok", "failed": "bad", "crashed": "bad"}.get(one.outcome, "dim")
            mark = self.screen.paint(f"{one.outcome:<12}", style)
            reason = f"  {clean(one.reason)}" if one.reason and one.outcome != "failed" else ""
            lines.append(f"  {mark} {one.code} {one.name}{reason}")
        return lines

    def _left_out(self) -> list[str]:
        by: dict[tuple[str, str], list[str]] = {}
        for one in self.report.suppressed:
            until = f"until {one.until}" if one.until else ""
            why = ": ".join(filter(None, (until, one.reason)))
            by.setdefault((one.by, why), []).append(f"{one.code} {one.name}")
        lines = [
            line
            for (option, why), names in sorted(by.items())
            for line in self.screen.wrap(
                f"{counted(len(names), 'finding')} left out by {option}{f' ({why})' if why else ''}: "
                f"{', '.join(sorted(set(names)))}",
                style="dim",
            )
        ]
        return lines + [line for one in self.report.reminders for line in self.screen.wrap(one, style="warning")]


def _grouped(dispatches: Iterable[Dispatch]) -> dict[tuple[str, str], list[Dispatch]]:
    groups: dict[tuple[str, str], list[Dispatch]] = {}
    for one in dispatches:
        if open_question(one):
            groups.setdefault((one.reason or "the evidence does not show its end", one.missing), []).append(one)
    return groups


def _times(one: Finding) -> str:
    """How often, unless the message says it."""
    told = one.count < 2 or re.search(rf"(?<![\d,]){one.count:,}(?![\d,])", one.message)
    return "" if told else f" ({one.count:,} times)"


def _some(names: list[str], limit: int = 3) -> str:
    unique = list(dict.fromkeys(names))
    return ", ".join(unique[:limit]) + (f" and {len(unique) - limit} more" if len(unique) > limit else "")


def _worst(dispatches: Iterable[Dispatch]) -> list[Dispatch]:
    """As many as are shown, those at fault first, each group in time order."""
    return nsmallest(ROWS, dispatches, key=lambda one: one.outcome not in AT_FAULT and one.after not in AT_FAULT)
