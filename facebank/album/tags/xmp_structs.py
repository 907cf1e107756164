"""The forms in which RDF/XML writes the same: fields as elements or attributes, structures with a node or without.

Programs use all of them: ExifTool and exiv2 write ``rdf:parseType="Resource"``, Adobe's an ``rdf:Description`` inside,
with the fields as its attributes (ISO 16684-1, 7.4 to 7.9). Elements are lxml's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from facebank.errors import XmpError

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_LISTS = (f"{RDF}Bag", f"{RDF}Seq", f"{RDF}Alt")
_PARSE_TYPE = f"{RDF}parseType"


def struct_in(element: Any, field: str) -> Any:
    """Return the element of a field that holds a structure or a list; None where there is none."""
    return _body(element).find(field)


def text_of(element: Any, field: str) -> str:
    """Return the text of a field, be it an attribute or an element; empty where there is none."""
    body = _body(element)
    attribute = body.get(field)
    if attribute is not None:
        return str(attribute).strip()
    found = body.find(field)
    if found is None:
        return ""
    inner = next(items_of(found), None)
    return str((found if inner is None else inner).xpath("string()")).strip()


def list_of(element: Any) -> Any:
    """Return the list in an element; None where there is none."""
    return next(element.iterchildren(*_LISTS), None)


def items_of(element: Any) -> Iterator[Any]:
    """Return the items of the list in an element."""
    found = list_of(element)
    return iter(()) if found is None else found.iterchildren(f"{RDF}li")


def set_text(element: Any, field: str, text: str, nsmap: Mapping[str, str] | None = None) -> None:
    """Set a field, in the form that it has; as an element where it is new.

    Raises
    ------
    ValueError
        XML has not all of the text's characters.
    XmpError
        The structure is written in a way that RDF does not know.
    """
    from lxml import etree

    body = _body(element)
    if body.get(field) is not None:
        body.set(field, text)
        return
    found = body.find(field)
    if found is None:
        found = etree.SubElement(opened(element), field, nsmap=nsmap)
    for child in list(found):
        found.remove(child)
    found.text = text or None  # as it is when read again


def drop(element: Any, field: str) -> None:
    """Take a field out, in whichever form it is; no-op where it is absent."""
    body = _body(element)
    body.attrib.pop(field, None)
    for found in body.findall(field):
        body.remove(found)


def opened(element: Any) -> Any:
    """Return where a structure's fields can be added as elements.

    Fields that are attributes of the property itself become elements: RDF has no elements beside them.
    """
    from lxml import etree

    body = _body(element)
    if body is not element or body.get(_PARSE_TYPE) == "Resource":
        return body
    if len(body) or (body.text or "").strip():
        raise XmpError("its regions are written in a way that is not understood: they are left alone")
    for name, value in list(body.attrib.items()):
        if not name.startswith(RDF):
            del body.attrib[name]
            etree.SubElement(body, name).text = value
    body.set(_PARSE_TYPE, "Resource")
    return body


def _body(element: Any) -> Any:
    inner = element.find(f"{RDF}Description")
    return element if inner is None else inner
