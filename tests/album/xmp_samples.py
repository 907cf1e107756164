"""Samples of XMP in the form of other programs, written by hand for a photo of 400 x 300 pixels."""

from __future__ import annotations

import hashlib
import struct

from facebank.album.tags.xmp_packets import find_packet, replace_packet
from tests.encoded_pictures import jpeg_segment

DIGIKAM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
    xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"
    xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
    xmlns:MP="http://ns.microsoft.com/photo/1.2/"
    xmlns:MPRI="http://ns.microsoft.com/photo/1.2/t/RegionInfo#"
    xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#"
   digiKam:PickLabel="0">
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>People/Ada &amp; Söhne</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions rdf:parseType="Resource">
     <stDim:w>400</stDim:w>
     <stDim:h>300</stDim:h>
     <stDim:unit>pixel</stDim:unit>
    </mwg-rs:AppliedToDimensions>
    <mwg-rs:RegionList>
     <rdf:Bag>
      <rdf:li rdf:parseType="Resource">
       <mwg-rs:Name>Ada &amp; Söhne</mwg-rs:Name>
       <mwg-rs:Type>Face</mwg-rs:Type>
       <mwg-rs:Area rdf:parseType="Resource">
        <stArea:x>0.25</stArea:x>
        <stArea:y>0.5</stArea:y>
        <stArea:w>0.1</stArea:w>
        <stArea:h>0.2</stArea:h>
        <stArea:unit>normalized</stArea:unit>
       </mwg-rs:Area>
      </rdf:li>
     </rdf:Bag>
    </mwg-rs:RegionList>
   </mwg-rs:Regions>
   <MP:RegionInfo rdf:parseType="Resource">
    <MPRI:Regions>
     <rdf:Bag>
      <rdf:li rdf:parseType="Resource">
       <MPReg:PersonDisplayName>Ada &amp; Söhne</MPReg:PersonDisplayName>
       <MPReg:Rectangle>0.2, 0.4, 0.1, 0.2</MPReg:Rectangle>
      </rdf:li>
     </rdf:Bag>
    </MPRI:Regions>
   </MP:RegionInfo>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""

LIGHTROOM = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
    xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"
    xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
    xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
   crs:Exposure2012="+0.35">
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions stDim:w="4000" stDim:h="3000" stDim:unit="pixel"/>
    <mwg-rs:RegionList>
     <rdf:Bag>
      <rdf:li>
       <rdf:Description mwg-rs:Rotation="0.00000" mwg-rs:Name="Ada &amp; Söhne" mwg-rs:Type="Face">
        <mwg-rs:Area stArea:h="0.20000" stArea:w="0.10000" stArea:x="0.25000" stArea:y="0.50000"/>
       </rdf:Description>
      </rdf:li>
      <rdf:li>
       <rdf:Description mwg-rs:Type="Focus" mwg-rs:FocusUsage="EvaluatedUsed">
        <mwg-rs:Area stArea:x="0.5" stArea:y="0.5" stArea:unit="normalized"/>
       </rdf:Description>
      </rdf:li>
     </rdf:Bag>
    </mwg-rs:RegionList>
   </mwg-rs:Regions>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>"""

PICASA = """<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 5.1.2">
   <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
      <rdf:Description rdf:about=""
            xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
            xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"
            xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#">
         <mwg-rs:Regions>
            <rdf:Description>
               <mwg-rs:AppliedToDimensions rdf:parseType="Resource">
                  <stDim:w>400</stDim:w>
                  <stDim:h>300</stDim:h>
                  <stDim:unit>pixel</stDim:unit>
               </mwg-rs:AppliedToDimensions>
               <mwg-rs:RegionList>
                  <rdf:Seq>
                     <rdf:li>
                        <rdf:Description mwg-rs:Type="Face" mwg-rs:Name="Ada &amp; Söhne">
                           <mwg-rs:Area rdf:parseType="Resource">
                              <stArea:x>0.25</stArea:x>
                              <stArea:y>0.5</stArea:y>
                              <stArea:w>0.1</stArea:w>
                              <stArea:h>0.2</stArea:h>
                              <stArea:unit>normalized</stArea:unit>
                           </mwg-rs:Area>
                        </rdf:Description>
                     </rdf:li>
                  </rdf:Seq>
               </mwg-rs:RegionList>
            </rdf:Description>
         </mwg-rs:Regions>
      </rdf:Description>
   </rdf:RDF>
</x:xmpmeta>
<?xpacket end='w'?>"""

MICROSOFT = """<xmp:xmpmeta xmlns:xmp="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="uuid:faf5bdd5-ba3d-11da-ad31-d33d75182f1b" xmlns:MP="http://ns.microsoft.com/photo/1.2/">
<MP:RegionInfo><rdf:Description xmlns:MPRI="http://ns.microsoft.com/photo/1.2/t/RegionInfo#"><MPRI:Regions>
<rdf:Bag xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:li><rdf:Description xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#">
<MPReg:PersonDisplayName>Ada &amp; Söhne</MPReg:PersonDisplayName>
<MPReg:Rectangle>0.200000, 0.400000, 0.100000, 0.200000</MPReg:Rectangle>
<MPReg:PersonEmailDigest>ABCD</MPReg:PersonEmailDigest></rdf:Description></rdf:li>
</rdf:Bag></MPRI:Regions></rdf:Description></MP:RegionInfo></rdf:Description></rdf:RDF></xmp:xmpmeta>"""

PROGRAMS = {"digiKam": DIGIKAM, "Lightroom": LIGHTROOM, "Picasa": PICASA, "Microsoft": MICROSOFT}

AREA = (
    '<mwg-rs:Area rdf:parseType="Resource"><stArea:x>{x}</stArea:x><stArea:y>{y}</stArea:y><stArea:w>{w}</stArea:w>'
    "<stArea:h>{h}</stArea:h></mwg-rs:Area>"
)
"""An area of a region in `with_regions`."""


def with_regions(regions: str, size: tuple[int, int] | None = None) -> bytes:
    """Return a document with these ``rdf:li`` as its regions."""
    dimensions = (
        f'<mwg-rs:AppliedToDimensions stDim:w="{size[0]}" stDim:h="{size[1]}" stDim:unit="pixel"/>' if size else ""
    )
    return f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description rdf:about="" xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
      xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#">
    <mwg-rs:Regions rdf:parseType="Resource">{dimensions}<mwg-rs:RegionList><rdf:Bag>{regions}</rdf:Bag>
    </mwg-rs:RegionList></mwg-rs:Regions></rdf:Description></rdf:RDF></x:xmpmeta>""".encode()


def region_item(name: str, box: tuple[float, float, float, float]) -> str:
    """Return an ``rdf:li`` for `with_regions`: a named face; the box is in fractions of the picture."""
    left, top, right, bottom = box
    area = AREA.format(x=(left + right) / 2, y=(top + bottom) / 2, w=right - left, h=bottom - top)
    name_element = f"<mwg-rs:Name>{name}</mwg-rs:Name>" if name else ""
    return f'<rdf:li rdf:parseType="Resource">{name_element}<mwg-rs:Type>Face</mwg-rs:Type>{area}</rdf:li>'


def embed(data: bytes, image_format: str, xmp: bytes) -> bytes:
    """Return a photo with an embedded XMP packet."""
    packet = find_packet(data, image_format, "photo")
    assert packet is not None
    return replace_packet(data, image_format, packet, xmp, "photo")


def extended_xmp(text: bytes, portion_size: int = 300, guid: str | None = None) -> tuple[bytes, bytes]:
    """Return a JPEG's segments of Extended XMP, last portion first, and the packet that names it."""
    guid = hashlib.md5(text, usedforsecurity=False).hexdigest().upper() if guid is None else guid
    header = b"http://ns.adobe.com/xmp/extension/\0" + guid.encode() + struct.pack(">I", len(text))
    starts = range(0, len(text), portion_size)
    segments = [
        jpeg_segment(0xE1, header + struct.pack(">I", start) + text[start : start + portion_size]) for start in starts
    ]
    packet = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{guid}"/>
    </rdf:RDF></x:xmpmeta>""".encode()
    return b"".join(reversed(segments)), packet
