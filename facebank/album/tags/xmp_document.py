"""XMP documents: their face regions are read, added and renamed, and everything else in them is preserved.

XMP is untrusted XML. Its size is checked before it is parsed, and a document with a document type declaration, which
XMP never has (ISO 16684-1, 7.1) and which alone can define entities, is refused.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from facebank.album.tags.rdf import (
    RDF,
    InvalidRdfError,
    items_of,
    list_in,
    open_structure,
    remove_field,
    set_text,
    structure_in,
    text_of,
)
from facebank.album.tags.regions import Box, Region, Vocabulary, clip_box
from facebank.errors import MissingDependencyError, XmpError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from typing import Self

MAX_BYTES = 8 * 1024 * 1024
MAX_ELEMENTS = 200_000
MAX_REGIONS = 1_000
REWRITE_ADVICE = "write it again with the program that wrote it"

_META = "adobe:ns:meta/"
_MWG = "http://www.metadataworkinggroup.com/schemas/regions/"
_AREA = "http://ns.adobe.com/xmp/sType/Area#"
_DIM = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
_MP = "http://ns.microsoft.com/photo/1.2/"
_MPRI = "http://ns.microsoft.com/photo/1.2/t/RegionInfo#"
_MPREG = "http://ns.microsoft.com/photo/1.2/t/Region#"
_OURS = "urn:facebank:xmp:1.0:"
_PREFIXES = {"mwg-rs": _MWG, "stArea": _AREA, "stDim": _DIM, "facebank": _OURS}
_WRITTEN_NAME = f"{{{_OURS}}}Name"
_MARK = f"{{{_OURS}}}Mark"
_ADDED = f"{{{_OURS}}}Added"
_EXTENSIONS = f"{{{_MWG}}}Extensions"
_MAX_NUMBER_LENGTH = 64
_EMPTY = f'<x:xmpmeta xmlns:x="{_META}"><rdf:RDF xmlns:rdf="{RDF[1:-1]}"/></x:xmpmeta>'.encode()
_PACKET_ID = "W5M0MpCehiHzreSzNTczkc9d"  # the same in every packet: XMP Specification Part 1, 7.3.2
_SHORTEN = "remove some of it with the program that wrote it"
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class XmpDocument:
    """An XMP document. Use `parse` or `empty`."""

    def __init__(self, tree: Any, label: str, *, has_declaration: bool = False) -> None:
        self._tree = tree
        self._label = printable(label)
        self._has_declaration = has_declaration
        self._is_new = False
        self._rdf = self._find_rdf()

    @classmethod
    def empty(cls, label: str) -> Self:
        """Return a document without content; `label` is its name in messages."""
        document = cls.parse(_EMPTY, label)
        document._is_new = True
        return document

    @classmethod
    def parse(cls, data: bytes, label: str) -> Self:
        """Return the document of a photo's packet or of a sidecar; `label` is its name in messages.

        Raises `XmpError` (it is too large, not XMP, or has a document type declaration) or `MissingDependencyError`
        (lxml is not installed).
        """
        text = _decode(data, label)
        has_declaration = text.startswith("<?xml ")
        try:
            from lxml import etree
        except ImportError as error:
            raise MissingDependencyError(
                "XMP is read with lxml, which is not installed: run pip install 'facebank[xmp]'"
            ) from error
        parser = etree.XMLParser(
            encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False
        )
        try:
            root = etree.fromstring(text.encode(), parser)
        except (etree.XMLSyntaxError, ValueError, UnicodeError) as error:
            reason = printable(" ".join(str(error).split()))[:160]
            raise XmpError(f"{printable(label)} holds broken XMP ({reason}): {REWRITE_ADVICE}") from error
        if sum(1 for _ in root.iter()) > MAX_ELEMENTS:
            raise XmpError(f"{printable(label)} holds XMP of more than {MAX_ELEMENTS:,} elements: {_SHORTEN}")
        return cls(root.getroottree(), label, has_declaration=has_declaration)

    def _find_rdf(self) -> Any:
        root = self._tree.getroot()
        nodes = [root] if root.tag == f"{RDF}RDF" else root.findall(f"{RDF}RDF")
        if len(nodes) != 1:
            raise XmpError(f"{self._label} holds XML that is not XMP, which has one rdf:RDF: {REWRITE_ADVICE}")
        return nodes[0]

    def to_bytes(self) -> bytes:
        """Return the document in UTF-8, for a sidecar."""
        from lxml import etree

        if self._is_new:
            etree.indent(self._tree, space=" ")
        written: bytes = etree.tostring(self._tree, encoding="utf-8", xml_declaration=self._has_declaration)
        return written if written.endswith(b"\n") else written + b"\n"

    def to_packet(self) -> bytes:
        """Return the document as a packet with its processing instructions, for a photo."""
        self._has_declaration = False
        packet = self.to_bytes()
        if packet.lstrip().startswith(b"<?xpacket"):
            return packet.strip()
        begin = f'<?xpacket begin="\ufeff" id="{_PACKET_ID}"?>\n'.encode()
        return begin + packet + b'<?xpacket end="w"?>'

    def has_same_content(self, other: XmpDocument) -> bool:
        """Return whether another document has the same elements, attributes and text, including whitespace."""
        from lxml import etree

        first, second = (etree.tostring(document._tree.getroot(), with_tail=False) for document in (self, other))
        return bool(first == second)

    @property
    def regions(self) -> list[Region]:
        """The regions in the order of the file, the Metadata Working Group's first.

        Raises `XmpError` if there are more than `MAX_REGIONS`.
        """
        regions = [self._mwg_region(item) for item in self._mwg_items()]
        regions += [self._microsoft_region(item) for item in self._microsoft_items()]
        return regions

    @property
    def dimensions(self) -> tuple[float, float] | None:
        """Width and height in pixels of the picture to which the Metadata Working Group's regions refer, if stated."""
        for info in self._properties(_MWG, "Regions"):
            dimensions = structure_in(info, f"{{{_MWG}}}AppliedToDimensions")
            if dimensions is not None:
                width, height = (_number(text_of(dimensions, f"{{{_DIM}}}{side}")) or 0.0 for side in "wh")
                if min(width, height) > 0:
                    return width, height
        return None

    @property
    def has_mwg_regions(self) -> bool:
        """Whether the document has a list of the Metadata Working Group's regions, even an empty one."""
        return next(self._properties(_MWG, "Regions"), None) is not None

    def name_region(self, index: int, name: str, mark: str | None = None) -> None:
        """Name one of the Metadata Working Group's regions, by its index in `regions`, and record that facebank did.

        `mark` identifies the gallery that wrote the name. Raises `XmpError` if the document cannot hold the name.
        """
        item = list(self._mwg_items())[index]
        with self._translate_errors(name):
            set_text(item, f"{{{_MWG}}}Name", name)
            if not text_of(item, f"{{{_MWG}}}Type"):
                set_text(item, f"{{{_MWG}}}Type", "Face")
            self._record_name(item, name, mark)

    def unname_region(self, index: int) -> None:
        """Remove a name that facebank wrote, and the region if facebank added it.

        `index` is the region's in `regions`; later indices decrease by one if the region is removed.
        """
        item = list(self._mwg_items())[index]
        extensions = structure_in(item, _EXTENSIONS)
        if extensions is not None and text_of(extensions, _ADDED):
            item.getparent().remove(item)
            return
        remove_field(item, f"{{{_MWG}}}Name")
        with self._translate_errors(""):
            self._record_name(item, "", None)

    def add_region(self, box: Box, name: str, size: tuple[int, int], mark: str | None = None) -> None:
        """Add the region of a face to the Metadata Working Group's. Raises the errors of `name_region`.

        Parameters
        ----------
        box
            Left, top, right and bottom in fractions of the picture to which the regions refer, 0..1.
        name
            The person's name; empty for an unnamed face.
        size
            Width and height in pixels of that picture, for a document that does not state them.
        mark
            As for `name_region`.
        """
        from lxml import etree

        with self._translate_errors(name):
            bag = self._bag(size)
        item = etree.SubElement(bag, f"{RDF}li", {f"{RDF}parseType": "Resource"}, nsmap=_PREFIXES)
        x1, y1, x2, y2 = box
        area = etree.SubElement(item, f"{{{_MWG}}}Area", {f"{RDF}parseType": "Resource"})
        numbers = {"x": (x1 + x2) / 2, "y": (y1 + y2) / 2, "w": x2 - x1, "h": y2 - y1}
        for field, value in numbers.items():
            set_text(area, f"{{{_AREA}}}{field}", f"{value:.6f}")
        set_text(area, f"{{{_AREA}}}unit", "normalized")
        set_text(item, f"{{{_MWG}}}Type", "Face")
        with self._translate_errors(name):
            if name:
                set_text(item, f"{{{_MWG}}}Name", name)
            self._record_name(item, name, mark)
        set_text(structure_in(item, _EXTENSIONS), _ADDED, "True", nsmap=_PREFIXES)

    def copy_regions(self, other: XmpDocument) -> None:
        """Copy the Metadata Working Group's regions of another document into one that has none."""
        for info in other._properties(_MWG, "Regions"):
            self._description().append(deepcopy(info))

    def _record_name(self, item: Any, name: str, mark: str | None) -> None:
        from lxml import etree

        extensions = structure_in(item, _EXTENSIONS)
        if extensions is None:
            extensions = etree.SubElement(
                open_structure(item), _EXTENSIONS, {f"{RDF}parseType": "Resource"}, nsmap=_PREFIXES
            )
        set_text(extensions, _WRITTEN_NAME, name, nsmap=_PREFIXES)
        if mark is None:
            remove_field(extensions, _MARK)
        else:
            set_text(extensions, _MARK, mark, nsmap=_PREFIXES)

    def _bag(self, size: tuple[int, int]) -> Any:
        """Return the list of regions, created if missing with the size of the picture to which they refer."""
        from lxml import etree

        resource = {f"{RDF}parseType": "Resource"}
        info = next(self._properties(_MWG, "Regions"), None)
        if info is None:
            info = etree.SubElement(self._description(), f"{{{_MWG}}}Regions", resource, nsmap=_PREFIXES)
        body = open_structure(info)
        if self.dimensions is None:
            for old in body.findall(f"{{{_MWG}}}AppliedToDimensions"):
                body.remove(old)
            dimensions = etree.SubElement(body, f"{{{_MWG}}}AppliedToDimensions", resource, nsmap=_PREFIXES)
            for field, value in (("w", str(size[0])), ("h", str(size[1])), ("unit", "pixel")):
                set_text(dimensions, f"{{{_DIM}}}{field}", value)
        regions = structure_in(info, f"{{{_MWG}}}RegionList")
        if regions is None:
            regions = etree.SubElement(body, f"{{{_MWG}}}RegionList")
        bag = list_in(regions)
        return etree.SubElement(regions, f"{RDF}Bag") if bag is None else bag

    def _description(self) -> Any:
        """Return a new node for properties with the ``rdf:about`` of the others, as XMP requires."""
        from lxml import etree

        about = f"{RDF}about"
        subject = next((node.get(about) for node in self._rdf.iterchildren(f"{RDF}Description") if node.get(about)), "")
        return etree.SubElement(self._rdf, f"{RDF}Description", {about: subject}, nsmap=_PREFIXES)

    def _properties(self, namespace: str, name: str) -> Iterator[Any]:
        for node in self._rdf.iterchildren(f"{RDF}Description"):
            yield from node.iterchildren(f"{{{namespace}}}{name}")

    def _mwg_items(self) -> Iterator[Any]:
        return self._items(_MWG, "Regions", f"{{{_MWG}}}RegionList")

    def _microsoft_items(self) -> Iterator[Any]:
        return self._items(_MP, "RegionInfo", f"{{{_MPRI}}}Regions")

    def _items(self, namespace: str, name: str, field: str) -> Iterator[Any]:
        count = 0
        for info in self._properties(namespace, name):
            regions = structure_in(info, field)
            for item in items_of(regions) if regions is not None else ():
                count += 1
                if count > MAX_REGIONS:
                    raise XmpError(f"{self._label} holds more than {MAX_REGIONS:,} regions: {_SHORTEN}")
                yield item

    def _mwg_region(self, item: Any) -> Region:
        extensions = structure_in(item, _EXTENSIONS)
        is_own = extensions is not None and structure_in(extensions, _WRITTEN_NAME) is not None
        is_own = is_own or (extensions is not None and bool(text_of(extensions, _WRITTEN_NAME)))
        box, circle = self._mwg_area(item)
        return Region(
            box=box,
            name=text_of(item, f"{{{_MWG}}}Name"),
            kind=text_of(item, f"{{{_MWG}}}Type"),
            vocabulary=Vocabulary.MWG,
            written_name=text_of(extensions, _WRITTEN_NAME) if is_own else None,
            circle=circle,
            mark=text_of(extensions, _MARK) or None if is_own else None,
        )

    def _mwg_area(self, item: Any) -> tuple[Box | None, tuple[float, float, float] | None]:
        """Return the rectangle or the circle that a region states, in fractions of the picture."""
        area = structure_in(item, f"{{{_MWG}}}Area")
        if area is None:
            return None, None
        x, y, width, height, diameter = (_number(text_of(area, f"{{{_AREA}}}{field}")) for field in "xywhd")
        if x is None or y is None:
            return None, None
        picture_width, picture_height = 1.0, 1.0
        if text_of(area, f"{{{_AREA}}}unit").casefold() == "pixel":
            if self.dimensions is None:
                return None, None
            picture_width, picture_height = self.dimensions
        x, y = x / picture_width, y / picture_height
        if width is not None and height is not None:
            width, height = width / picture_width, height / picture_height
            return _box(x - width / 2, y - height / 2, width, height), None
        circle = None if diameter is None else (x, y, diameter / min(picture_width, picture_height))
        return None, circle if circle is not None and circle[2] > 0 and all(map(math.isfinite, circle)) else None

    def _microsoft_region(self, item: Any) -> Region:
        values = [_number(part) for part in text_of(item, f"{{{_MPREG}}}Rectangle").split(",")]
        numbers = [value for value in values if value is not None]
        box = _box(*numbers) if len(numbers) == len(values) == 4 else None
        return Region(box, text_of(item, f"{{{_MPREG}}}PersonDisplayName"), "", Vocabulary.MICROSOFT)

    @contextmanager
    def _translate_errors(self, name: str) -> Iterator[None]:
        """Translate invalid RDF, and lxml's error for a character that XML cannot hold, to an `XmpError`."""
        try:
            yield
        except InvalidRdfError as error:
            raise XmpError(f"{self._label} has regions that are not valid RDF: {REWRITE_ADVICE}") from error
        except ValueError as error:
            raise XmpError(
                f"{self._label} cannot hold the name {printable(name)!r}, because XML cannot hold one of its "
                "characters: rename the person"
            ) from error


def _decode(data: bytes, label: str) -> str:
    if len(data) > MAX_BYTES:
        raise XmpError(f"{printable(label)} holds {len(data):,} bytes of XMP, the limit is {MAX_BYTES:,}: {_SHORTEN}")
    encoding = next((code for mark, code in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding).lstrip("\ufeff").strip(" \t\r\n\0")
    except UnicodeDecodeError as error:
        raise XmpError(f"{printable(label)} holds XMP that is not in Unicode: {REWRITE_ADVICE}") from error
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise XmpError(f"{printable(label)} holds XML with a document type, which XMP never has: {REWRITE_ADVICE}")
    return text


def _box(x: float, y: float, width: float, height: float) -> Box | None:
    if width <= 0 or height <= 0:
        return None
    box = (x, y, x + width, y + height)
    return clip_box(box) if all(map(math.isfinite, box)) else None


def _number(text: str) -> float | None:
    try:
        value = float(text) if len(text) <= _MAX_NUMBER_LENGTH else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
