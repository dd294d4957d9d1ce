"""Acme's own checks for lkdoctor."""
