"""Runs and studies on disk."""
