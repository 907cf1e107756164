"""What is remembered: people and their enrolled faces in one SQLite file, the index over them, and their exchange."""

from facebank.gallery.exchange import Exported, Imported, export_gallery, import_gallery
from facebank.gallery.gallery import Gallery
from facebank.gallery.health import GalleryHealth, inspect_gallery
from facebank.gallery.index import SearchHits, VectorIndex, VectorStore
from facebank.gallery.names import name_key, normalise_name
from facebank.gallery.places import default_gallery_path
from facebank.gallery.records import EnrolledSample, Forgotten, NewSample, PackIdentity, VectorTable

__all__ = [
    "EnrolledSample",
    "Exported",
    "Forgotten",
    "Gallery",
    "GalleryHealth",
    "Imported",
    "NewSample",
    "PackIdentity",
    "SearchHits",
    "VectorIndex",
    "VectorStore",
    "VectorTable",
    "default_gallery_path",
    "export_gallery",
    "import_gallery",
    "inspect_gallery",
    "name_key",
    "normalise_name",
]
