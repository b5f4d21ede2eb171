"""Tests of notebook 11."""
