"""Fields of RDF/XML structures, in any of the syntax's equivalent forms.

RDF/XML has several forms for the same data, and programs use all of them: fields as elements or attributes, structures
with ``rdf:parseType="Resource"`` (ExifTool, exiv2) or with an ``rdf:Description`` inside (Adobe; ISO 16684-1, 7.4 to
7.9).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_LISTS = (f"{RDF}Bag", f"{RDF}Seq", f"{RDF}Alt")
_PARSE_TYPE = f"{RDF}parseType"


class InvalidRdfError(Exception):
    """Invalid RDF structure, to which no field can be added."""


def structure_in(element: Any, field: str) -> Any:
    """Return the element of a field that contains a structure or a list, or None."""
    return _body(element).find(field)


def text_of(element: Any, field: str) -> str:
    """Return the text of a field, which is an attribute or an element; empty if absent."""
    body = _body(element)
    attribute = body.get(field)
    if attribute is not None:
        return str(attribute).strip()
    child = body.find(field)
    if child is None:
        return ""
    inner = next(items_of(child), None)
    return str((child if inner is None else inner).xpath("string()")).strip()


def list_in(element: Any) -> Any:
    """Return the list in an element, or None."""
    return next(element.iterchildren(*_LISTS), None)


def items_of(element: Any) -> Iterator[Any]:
    """Return the items of the list in an element."""
    items = list_in(element)
    return iter(()) if items is None else items.iterchildren(f"{RDF}li")


def set_text(element: Any, field: str, text: str, nsmap: Mapping[str, str] | None = None) -> None:
    """Set the text of a field in its present form, or as a new element.

    Raises `ValueError` (XML cannot hold a character of the text) or `InvalidRdfError`.
    """
    from lxml import etree

    body = _body(element)
    if body.get(field) is not None:
        body.set(field, text)
        return
    node = body.find(field)
    if node is None:
        node = etree.SubElement(open_structure(element), field, nsmap=nsmap)
    for child in list(node):
        node.remove(child)
    node.text = text or None  # lxml reads an empty text as None


def remove_field(element: Any, field: str) -> None:
    """Remove a field in any form; no-op if absent."""
    body = _body(element)
    body.attrib.pop(field, None)
    for child in body.findall(field):
        body.remove(child)


def open_structure(element: Any) -> Any:
    """Convert a structure to a form with child elements, and return the element that holds them.

    Fields that are attributes of the property become elements, because RDF allows no elements beside them. Raises
    `InvalidRdfError` if the element has other content.
    """
    from lxml import etree

    body = _body(element)
    if body is not element or body.get(_PARSE_TYPE) == "Resource":
        return body
    if len(body) or (body.text or "").strip():
        raise InvalidRdfError
    for name, value in list(body.attrib.items()):
        if not name.startswith(RDF):
            del body.attrib[name]
            etree.SubElement(body, name).text = value
    body.set(_PARSE_TYPE, "Resource")
    return body


def _body(element: Any) -> Any:
    """Return the ``rdf:Description`` inside an element, or the element itself if it has none."""
    inner = element.find(f"{RDF}Description")
    return element if inner is None else inner
