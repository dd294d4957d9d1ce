"""The first line that runs, for `lkdoctor` and `python -m lkdoctor`: an early Ctrl-C is an interruption, no traceback."""

from __future__ import annotations

import sys


def main() -> None:
    """Load the command line and run it."""
    try:
        from lkdoctor.cli import main as run  # noqa: PLC0415 - what it loads is what may be interrupted
    except KeyboardInterrupt:  # while libraries were loaded
        sys.stderr.write("lkdoctor: interrupted\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
