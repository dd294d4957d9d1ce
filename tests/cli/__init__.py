"""Tests of lkdoctor.cli."""
