"""Tests of lkdoctor.toml and of what is read from a project."""
