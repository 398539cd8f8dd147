"""Comparison of a study's runs."""
