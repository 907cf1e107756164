"""Evaluation harness: datasets, protocols, figures with confidence intervals, and reports."""
