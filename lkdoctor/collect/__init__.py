"""The only code that does I/O on evidence: one file a source."""
