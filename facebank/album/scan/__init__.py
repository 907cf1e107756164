"""The scan of an album: its file or Parquet shards, scanning folders, and merging scans."""
