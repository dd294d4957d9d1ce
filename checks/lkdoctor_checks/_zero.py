"""The load function that returns 0: the cure that everybody finds, with the answer to "is it safe?"."""

from __future__ import annotations

from lkdoctor.doctor.finding import Fix
from lkdoctor_checks import _words as words


def no_load(name: str, workers_open: int) -> Fix:
    """Let the workers of `name` report no load; `workers_open` of them were there (0: not known)."""
    safe = {0: "one worker: yes; several: no", 1: "yes, for there is one worker of this name"}.get(
        workers_open,
        f"no, there are {workers_open} workers of this name, and a busy one would be chosen like an idle one",
    )
    return Fix(
        f"Let {words.quoted(name)} report no load, at least as a test",
        safety="unsafe",
        steps=(
            (
                "Python: `load_fnc=lambda: 0`. Node: `loadFunc: async () => 0`. If the dispatch then works, load was the "
                "cause."
            ),
            "Without a change in the code: stop the worker, and let the reference worker stand in for it by the command.",
        ),
        commands=(words.worker_command(name),),
        caveats=(
            f"Safe to keep? {safe}.",
            "LiveKit Cloud ignores it for agents that it hosts.",
            "The worker is no longer protected against taking more than it can do.",
        ),
        undo=("Take the load function out again.",),
    )
