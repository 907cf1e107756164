"""One verb a file: what can be done with photos, a gallery and a pack."""
