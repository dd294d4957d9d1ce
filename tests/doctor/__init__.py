"""Tests of lkdoctor.doctor."""
