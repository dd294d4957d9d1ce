"""Checks that do everything that a check must not do; each module one thing."""
