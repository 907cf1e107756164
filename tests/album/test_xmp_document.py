"""XMP documents preserve the data of other programs, regions are read as written, hostile XML is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from facebank.album.tags import xmp_document
from facebank.album.tags.regions import Box, PhotoFrame, Vocabulary, turn_box, unturn_box
from facebank.album.tags.xmp_document import XmpDocument
from facebank.errors import XmpError
from facebank.gallery import normalize_name

from .test_regions import ORIENTATIONS, boxes
from .xmp_samples import AREA, DIGIKAM, LIGHTROOM, PROGRAMS, region_item, with_regions

ADA = "Ada & Söhne"


def parse(text: str | bytes) -> XmpDocument:
    return XmpDocument.parse(text if isinstance(text, bytes) else text.encode(), "photo.xmp")


def is_name(text: str) -> bool:
    try:
        return bool(normalize_name(text))
    except Exception:  # noqa: BLE001 - any error of a name that is not allowed
        return False


# Names that a gallery accepts; XML excludes U+FFFE and U+FFFF.
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp"), exclude_characters="\ufffe\uffff/\\"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_regions_of_other_programs_are_read(program: str) -> None:
    faces = [region for region in parse(PROGRAMS[program]).regions if region.is_face]
    assert {face.name for face in faces} == {ADA}
    assert all(face.box == pytest.approx((0.2, 0.4, 0.3, 0.6)) for face in faces)
    assert all(face.written_name is None for face in faces)
    vocabularies = {"digiKam": ["mwg-rs", "MP"], "Microsoft": ["MP"]}.get(program, ["mwg-rs"])
    assert [face.vocabulary for face in faces] == vocabularies


def test_a_focus_point_is_not_a_face_and_has_no_box() -> None:
    *_, focus = parse(LIGHTROOM).regions
    assert (focus.kind, focus.box, focus.is_face) == ("Focus", None, False)
    assert parse(LIGHTROOM).dimensions == (4000, 3000)


@pytest.mark.parametrize("program", PROGRAMS)
def test_adding_a_region_preserves_everything_else(program: str) -> None:
    document = parse(PROGRAMS[program])
    before = document.regions
    document.add_region((0.5, 0.5, 0.6, 0.7), "Grace", (400, 300))
    reread = parse(document.to_bytes())
    assert [region for region in reread.regions if region.name != "Grace"] == before
    (grace,) = (region for region in reread.regions if region.name == "Grace")
    assert grace.box == pytest.approx((0.5, 0.5, 0.6, 0.7))
    assert grace.is_by_facebank
    after = iter(elements(document.to_bytes()))
    assert all(entry in after for entry in elements(PROGRAMS[program].encode()))


def elements(data: bytes) -> list[tuple[str, dict[str, str], str]]:
    """Return the tags, attributes and texts of all elements, in document order."""
    return [(node.tag, dict(node.attrib), (node.text or "").strip()) for node in etree.fromstring(data).iter("*")]


@pytest.mark.parametrize("program", [name for name in PROGRAMS if name != "Microsoft"])
def test_a_region_is_named_in_its_own_form(program: str) -> None:
    document = parse(PROGRAMS[program].replace("Ada &amp; Söhne", ""))
    document.name_region(0, "Grace")
    named = parse(document.to_bytes()).regions[0]
    assert (named.name, named.written_name, named.kind) == ("Grace", "Grace", "Face")
    assert named.box == pytest.approx((0.2, 0.4, 0.3, 0.6))
    document.name_region(0, "Ada")
    assert [region.name for region in parse(document.to_bytes()).regions].count("Ada") == 1


@given(st.lists(st.tuples(boxes(), NAMES.filter(is_name)), max_size=4), ORIENTATIONS)
def test_regions_are_read_as_they_were_written(faces: list[tuple[Box, str]], orientation: int) -> None:
    frame = PhotoFrame(4000, 3000, orientation)
    document = XmpDocument.empty("photo.xmp")
    for box, name in faces:
        document.add_region(unturn_box(box, orientation), normalize_name(name), (frame.width, frame.height))
    for data in (document.to_bytes(), document.to_packet()):
        read = parse(data)
        assert [region.name for region in read.regions] == [normalize_name(name) for _, name in faces]
        turn = frame.turn_of(read.dimensions)
        for written, (box, _) in zip(read.regions, faces, strict=True):
            assert turn == orientation
            assert written.box is not None
            assert written.is_by_facebank
            assert turn_box(written.box, turn) == pytest.approx(box, abs=2e-6)
        assert read.to_bytes() == parse(read.to_bytes()).to_bytes()


def test_a_name_changed_by_another_program_is_not_facebanks() -> None:
    document = XmpDocument.empty("photo.xmp")
    document.add_region((0.1, 0.1, 0.2, 0.2), "Ada", (10, 10))
    data = document.to_bytes().replace(b"<mwg-rs:Name>Ada", b"<mwg-rs:Name>Grace")
    (region,) = parse(data).regions
    assert (region.name, region.written_name, region.is_by_facebank) == ("Grace", "Ada", False)


def test_a_packet_has_its_processing_instructions_once() -> None:
    assert XmpDocument.empty("a").to_packet().startswith(b'<?xpacket begin="\xef\xbb\xbf"')
    again = parse(DIGIKAM).to_packet()
    assert again.count(b"<?xpacket begin") == again.count(b"<?xpacket end") == 1


def test_invalid_rdf_is_refused_with_the_name_of_the_file() -> None:
    document = parse(with_regions("<rdf:li><mwg-rs:Name>Ada</mwg-rs:Name></rdf:li>"))
    with pytest.raises(XmpError, match="has regions that are not valid RDF: write it again"):
        document.name_region(0, "Grace")


def test_a_name_that_xml_cannot_hold_is_refused() -> None:
    with pytest.raises(XmpError, match="XML cannot hold"):
        XmpDocument.empty("a.xmp").add_region((0.1, 0.1, 0.2, 0.2), "Ada\ufffe", (10, 10))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_all_encodings_of_unicode_are_read(encoding: str) -> None:
    assert parse(LIGHTROOM.encode(encoding)).regions == parse(LIGHTROOM).regions


ENTITY_BOMB = """<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">
<!ENTITY lol3 "&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;">]>
<x:xmpmeta xmlns:x="adobe:ns:meta/">&lol3;</x:xmpmeta>"""
EXTERNAL_ENTITY = """<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/passwd">]>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">&file;</rdf:RDF>"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENTITY_BOMB, "document type"),
        (ENTITY_BOMB.encode("utf-16"), "document type"),
        (EXTERNAL_ENTITY, "document type"),
        ("<a>" * 100_000, "broken XMP"),
        (LIGHTROOM[:-30], "broken XMP"),
        (LIGHTROOM.replace("&amp;", "&nothing;"), "broken XMP"),
        ("", "broken XMP"),
        ("<html/>", "not XMP"),
        (LIGHTROOM.replace("22-rdf-syntax-ns", "22-other"), "not XMP"),
        (LIGHTROOM.encode("latin-1"), "not in Unicode"),
    ],
    ids=lambda value: re.sub(r"\W+", " ", str(value))[:20],
)
def test_data_that_is_no_xmp_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(XmpError, match=message) as caught:
        parse(text)
    assert "photo.xmp" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_large_xmp_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(XmpError, match="the limit is"):
        parse(b" " * (xmp_document.MAX_BYTES + 1))
    with pytest.raises(XmpError, match="elements"):
        parse(with_regions("<rdf:li/>" * (xmp_document.MAX_ELEMENTS + 1)))
    crowd = parse(with_regions(region_item("Ada", (0.1, 0.1, 0.2, 0.2)) * (xmp_document.MAX_REGIONS + 1)))
    with pytest.raises(XmpError, match="regions"):
        _ = crowd.regions


@pytest.mark.parametrize(
    "area",
    [
        {"x": "NaN", "y": "0.5", "w": "0.1", "h": "0.1"},
        {"x": "inf", "y": "0.5", "w": "0.1", "h": "0.1"},
        {"x": "0.5", "y": "0.5", "w": "-0.1", "h": "0.1"},
        {"x": "0.5", "y": "0.5", "w": "0", "h": "0.1"},
        {"x": "7", "y": "0.5", "w": "0.1", "h": "0.1"},
        {"x": "1e308", "y": "0.5", "w": "1e308", "h": "1e308"},
        {"x": "a half", "y": "0.5", "w": "0.1", "h": "0.1"},
        {"x": "", "y": "0.5", "w": "0.1", "h": "0.1"},
        {"x": "0." + "1" * 10_000, "y": "0.5", "w": "0.1", "h": "0.1"},
    ],
    ids=lambda area: f"{area['x'][:9]}, {area['w']}",
)
def test_an_invalid_area_gives_no_box(area: dict[str, str]) -> None:
    item = f'<rdf:li rdf:parseType="Resource"><mwg-rs:Name>Ada</mwg-rs:Name>{AREA.format(**area)}</rdf:li>'
    (read,) = parse(with_regions(item)).regions
    assert (read.name, read.box) == ("Ada", None)


def test_an_area_in_pixels_needs_the_size_of_the_picture() -> None:
    item = '<rdf:li><rdf:Description><mwg-rs:Area stArea:x="100" stArea:y="150" stArea:w="40" stArea:h="60" '
    item += 'stArea:unit="pixel"/></rdf:Description></rdf:li>'
    (read,) = parse(with_regions(item, (400, 300))).regions
    assert read.box == pytest.approx((0.2, 0.4, 0.3, 0.6))
    assert parse(with_regions(item)).regions[0].box is None


@pytest.mark.parametrize("rectangle", ["", "0.1", "0.1,0.2,0.3", "0.1,0.2,0.3,0.4,0.5", "0.1,0.2,nan,0.3", "a,b,c,d"])
def test_an_invalid_rectangle_of_microsoft_gives_no_box(rectangle: str) -> None:
    text = PROGRAMS["Microsoft"].replace("0.200000, 0.400000, 0.100000, 0.200000", rectangle)
    (read,) = parse(text).regions
    assert (read.vocabulary, read.box) == (Vocabulary.MICROSOFT, None)
