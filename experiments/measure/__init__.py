"""Measurements: functions from a model and its questions to tidy tables, one row an item."""
