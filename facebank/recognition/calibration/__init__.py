"""Calibration of scores to probabilities and thresholds: fitting, storage and use.

`calibration` has the calibrators (`Calibrator`), `files` those of packs and users, and `background` statistics of faces
of people who are not enrolled. `fitting` fits a calibrator to searches by `simulation`, and `reliability` measures it.
"""
