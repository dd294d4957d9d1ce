"""Probes: what lkdoctor itself does on a live server, when it is asked to, and takes away again."""
