"""Tests of the built-in checks."""
