"""The scan of an album: its file or Parquet shards, scanning folders, and merging scans.

`scan_plan` selects the files, and `scanner` reads them; `scan_file` stores the results as `rows`, and `videos` those of
videos. Shards are written by `parquet_shards` from `parquet_rows` and read by `parquet_scan`; `opening` opens either
kind. `updates` changes the scan file of an album, and `merging` combines scans.
"""
