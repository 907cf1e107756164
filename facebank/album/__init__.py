"""Albums: many photos, scanned once and then identified, searched, grouped, sorted and tagged from the scan.

Nothing is imported here, so that each command imports only what it needs. `facebank.album.album` has `Album`, which
combines the rest: scans are in `facebank.album.scan` and their paths in `facebank.album.scan_paths`; groups of unnamed
faces in `facebank.album.groups`, sorting in `facebank.album.sort`, and names in photos in `facebank.album.tags`.
Identities are in `overview`, `confirmed` and `videos`; searches in `finding`, `pages` and `arrow_tables`; questions to
a user and their answers in `questions` and `answers`; pictures of scanned photos in `pictures`. `forget` removes a
person and `copies` lists what remains. What an album needs from a bank is in `gallery_access`.
"""
