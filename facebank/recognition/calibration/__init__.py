"""Calibration of scores to probabilities and thresholds: fitting, storage and use."""
