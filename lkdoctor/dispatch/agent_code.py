"""What in an agent's own program cannot work as it looks: hooks that nothing calls, waits for a person, shared log files."""

from __future__ import annotations

from typing import ClassVar, Literal

from lkdoctor.dispatch.facts import Fact

Trap = Literal[
    "dead-hook",  # a method of an Agent that the SDK does not know, and the program never calls
    "waits-for-person",  # wait_for_participant() of the job, which takes people only unless it is told a kind
    "log-overwritten",  # a log file of one name for all jobs, opened anew by each
]


class CodeTrap(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """One place in a program."""

    SOURCES: ClassVar[tuple[str, ...]] = ("agent_code",)

    trap: Trap
    file: str
    line: int
    name: str = ""  # the hook, or what is called
    owner: str = ""  # the class or function that it stands in
    text: str = ""  # the source line, masked
    hears_agents: bool = False  # the program names the kind AGENT somewhere: it means agents to hear each other

    def told(self) -> str:
        """As a reader finds it."""
        return f"line {self.line}{f', in {self.owner}' if self.owner else ''}: {self.text}"
