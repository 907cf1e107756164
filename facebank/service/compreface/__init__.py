"""CompreFace's routes, so that its clients work unchanged: its paths, parameters, answers and errors.

Results are those of `facebank.FaceBank`; for the routes and differences see docs/compreface.md.
"""
