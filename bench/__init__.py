"""Tools that measure how fast and in how much memory lkdoctor reads a log; no part of the product."""
