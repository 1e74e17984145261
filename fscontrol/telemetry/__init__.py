"""Metrics, logs and alerts."""
