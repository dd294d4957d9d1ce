"""Tests of lkdoctor.report."""
