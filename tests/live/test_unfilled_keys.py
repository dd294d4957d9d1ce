"""A livekit.yaml with `${NAME}` for key and secret: the real server takes that text itself, as the gate says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fixtures.lab.servers import running
from tests.cli.running import run

pytestmark = pytest.mark.live
KEY, SECRET = "${LIVEKIT_API_KEY}", "${LIVEKIT_API_SECRET}"
FILE = f"port: 7880\nkeys:\n  {KEY}: {SECRET}\n"
WORKING = {"LIVEKIT_API_KEY": "APIreal", "LIVEKIT_API_SECRET": "a-secret-of-the-users-own-that-is-long-enough"}


@pytest.mark.parametrize("version", ["1.13.5", "1.7.0"])
def test_the_server_fills_in_no_variables(version: str, tmp_path: Path) -> None:
    (tmp_path / "livekit.yaml").write_text(FILE, "utf-8")
    before = run("check", tmp_path, "-q")
    assert before.status == 1
    assert "LKD514" in before.out

    async def asked() -> tuple[bool, bool]:
        async with running(version, tmp_path, name="real", extra={"keys": {KEY: SECRET}}) as server:
            written = {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
            refused = [
                "LKD104" in (await asyncio.to_thread(run, "check", "--url", server.url, "-q", environ=environ)).out
                for environ in (WORKING, written)
            ]
            return refused[0], refused[1]

    assert asyncio.run(asked()) == (True, False)
