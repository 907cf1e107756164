"""Sorting photos into a folder for each person, with a signed journal that allows undoing it.

`album_sort` sorts an album: `plan` chooses a folder for each photo, `run` writes the files, and `undo` reverts it by
the `journal`, whose entries are in `entries`; `rewrites` records files that facebank changes later.
"""
