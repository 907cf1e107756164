"""Names of people in the XMP metadata of photos and in their sidecars: read, written and removed.

`listing` shows the regions of files, and `writing`, `removing` and `importing` exchange names with them; `album_tags`
does so for an album. `written_names` keeps the names that facebank wrote, and `sidecars` finds the sidecars of photos.
"""
