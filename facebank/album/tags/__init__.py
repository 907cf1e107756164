"""Names of people in the XMP metadata of photos and in their sidecars: read, written and removed."""
