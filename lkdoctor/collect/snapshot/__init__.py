"""Writes a case: the evidence of one run, redacted, as a folder or a zip that `lkdoctor check` reads like the original."""
