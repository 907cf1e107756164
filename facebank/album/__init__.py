"""Many photos: scanned once, whatever happens to their names, and then asked about without being read again."""
