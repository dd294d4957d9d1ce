"""Ctrl-C before anything was loaded."""

from __future__ import annotations

import subprocess
import sys

from tests.cli.running import environment

PRESSED = """
import sys
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Press())
from lkdoctor.__main__ import main
main()
"""


def test_a_ctrl_c_while_libraries_are_loaded_is_an_interruption() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PRESSED], capture_output=True, text=True, env=environment(), check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "lkdoctor: interrupted\n")
