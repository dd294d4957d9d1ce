"""Ends the interpreter when it is imported."""

import sys

sys.exit("acme is not licensed on this machine")
