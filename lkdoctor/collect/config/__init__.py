"""Reads a project's configuration: each value with its file, line and column, secrets as tokens, computed ones "not known"."""
