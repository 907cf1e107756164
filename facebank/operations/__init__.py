"""One verb a module: what `facebank.FaceBank` does with photos, a gallery and a pack."""
