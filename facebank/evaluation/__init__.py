"""Evaluation harness: datasets, protocols, figures with confidence intervals, and reports.

`bench` runs a protocol of `protocols` on a dataset of `datasets`, and `report` has its result. `faces` reads the faces
of a dataset, and `face_cache` keeps them.
"""
