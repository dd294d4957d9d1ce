"""Programs are read for traps: what is one, and what only looks like one."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from lkdoctor.collect.agent_code import read_code
from lkdoctor.collect.case import CaseInputs
from lkdoctor.collect.gathered import Gathered
from lkdoctor.dispatch.agent_code import CodeTrap


def traps(code: str) -> list[tuple[str, str]]:
    gathered = Gathered()
    read_code("from livekit.agents import Agent\n" + textwrap.dedent(code), "agent.py", gathered)
    found = [one for one in gathered.facts.get(CodeTrap, []) if isinstance(one, CodeTrap)]
    return [(one.trap, one.name) for one in found]


@pytest.mark.parametrize(
    "code",
    [
        "class A(Agent):\n    async def on_user_message(self, m): ...",
        "class A(agents.Agent):\n    def on_message(self): ...",
        "class Base(Agent): ...\nclass A(Base):\n    def on_transcript(self): ...",
        "class A(Agent):\n    def on_said(self): ...\ngetattr(agent, 'name', default)",
        "class A(Agent[State]):\n    def on_speech_committed(self): ...",
    ],
)
def test_a_hook_that_nothing_calls(code: str) -> None:
    assert [trap for trap, _ in traps(code)] == ["dead-hook"]


@pytest.mark.parametrize(
    "code",
    [
        "class A(Agent):\n    async def on_enter(self): ...",
        "class A(Agent):\n    async def on_user_turn_completed(self, c, m): ...",
        "class A(Agent):\n    def on_said(self): ...\nA().on_said()",
        "class A(Agent):\n    def on_said(self): ...\nsession.on('close', agent.on_said)",
        "class A(Agent):\n    def on_said(self): ...\ngetattr(agent, 'on_said')()",
        "class A(Agent):\n    def on_said(self): ...\ngetattr(agent, 'on_' + name)()",
        "class A(Agent):\n    def on_said(self): ...\ngetattr(agent, f'on_{name}', None)",
        "class A(Agent):\n    def on_said(self): ...\noperator.methodcaller(name)(agent)",
        "class A(Agent):\n    def on_said(self): ...\nfor one in dir(agent): register(agent, one)",
        "class A(Agent):\n    @function_tool\n    def on_order(self): ...",
        "class A(Agent, Mixin):\n    def on_said(self): ...",
        "class A(Other):\n    def on_said(self): ...",
        "class A(A):\n    def on_said(self): ...",
        "class A:\n    def on_said(self): ...",
    ],
)
def test_no_such_hook(code: str) -> None:
    assert traps(code) == []


@pytest.mark.parametrize(
    "code",
    [
        'logging.FileHandler("app.log", mode="w")',
        'logging.FileHandler("app.log", "w")',
        'logging.FileHandler(f"{ctx.room.name}.log", mode="w")',
        'path = "app.log"\nlogging.FileHandler(path, mode="w")',
        'logging.basicConfig(filename="app.log", filemode="w")',
    ],
)
def test_a_log_that_jobs_overwrite(code: str) -> None:
    assert [trap for trap, _ in traps(code)] == ["log-overwritten"]


@pytest.mark.parametrize(
    "code",
    [
        'logging.FileHandler("app.log")',
        'logging.FileHandler("app.log", mode="a")',
        'logging.FileHandler(f"{ctx.job.id}.log", mode="w")',
        'logging.FileHandler(f"app-{os.getpid()}.log", mode="w")',
        'path = f"{uuid4()}.log"\nlogging.FileHandler(path, mode="w")',
        'def log(path):\n    logging.FileHandler(path, mode="w")',
        'if __name__ == "__main__":\n    logging.FileHandler("app.log", mode="w")',
        'logging.basicConfig(filemode="w")',
    ],
)
def test_a_log_of_its_own(code: str) -> None:
    assert traps(code) == []


def test_waits_for_people() -> None:
    assert traps("async def e(ctx):\n    await ctx.wait_for_participant()") == [
        ("waits-for-person", "wait_for_participant")
    ]
    assert traps("async def e(ctx):\n    await ctx.wait_for_participant(identity='b')") != []
    assert traps("async def e(ctx):\n    await ctx.wait_for_participant(kind=[K.AGENT])") == []
    assert traps("async def e(ctx):\n    await utils.wait_for_participant(room=ctx.room)") == []
    assert traps("async def e(ctx):\n    await wait_for_participant(ctx.room)") == []
    assert traps("async def e(ctx, **more):\n    await ctx.wait_for_participant(**more)") == []


@pytest.mark.parametrize("text", ["", "x = (", "livekit = (", "\x00livekit", "livekit " + "(" * 5000])
def test_what_is_no_program_costs_nothing(text: str) -> None:
    gathered = Gathered()
    read_code(text, "agent.py", gathered)
    assert not gathered.facts
    assert [one.kind for one in gathered.notes] == ["agent_code"]


def test_a_secret_on_the_line_is_masked() -> None:
    gathered = Gathered()
    code = 'from livekit.agents import Agent\nlogging.FileHandler("a.log", mode="w"); api_secret = "hunter2-hunter2"\n'
    read_code(code, "agent.py", gathered)
    shown = str(gathered.facts) + str(gathered.quotes)
    assert "hunter2" not in shown


def test_other_programs_in_a_folder_are_no_evidence(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print('hello')\n")
    found = CaseInputs.find([tmp_path])
    assert (found.readable, found.others) == ([], [])
    (tmp_path / "my_agent.py").write_text("from livekit.agents import Agent\n")
    assert [one.name for one in CaseInputs.find([tmp_path]).readable] == [str(tmp_path / "my_agent.py")]


def test_a_program_of_any_name_is_read_when_it_is_named(tmp_path: Path) -> None:
    program = tmp_path / "front_desk.py"
    program.write_text("from livekit.agents import Agent\n")
    assert [one.kind for one in CaseInputs.find([program]).extras] == ["agent_program"]
