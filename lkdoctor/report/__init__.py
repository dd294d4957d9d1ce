"""One report, written as text or JSON."""
