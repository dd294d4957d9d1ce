"""`python -m lkdoctor`."""

from __future__ import annotations

from lkdoctor.cli import main

if __name__ == "__main__":
    main()
