"""Painting of labels, in all scripts covered by installed fonts."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from facebank.storage.text import printable

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

# In order of preference; each is used if installed.
_SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "segoeui.ttf",
    "Arial.ttf",
    "LiberationSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansArabic-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "malgun.ttf",
    "Nirmala.ttc",
    "unifont.otf",
)
_NO_CHARACTER = "\uffff"
_SMOOTHING = 4
_CACHE_SIZE = 256

Color = tuple[int, int, int]


class LabelPainter:
    """Paints labels of one text size: the height of the letters' em square in pixels, 1 or more."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._fonts: list[FreeTypeFont] | None = None
        self._painted: dict[tuple[str, Color, int], Image] = {}

    @property
    def size(self) -> int:
        """Height of the letters' em square in pixels."""
        return self._size

    def paint(self, text: str, color: Color, max_width: int) -> Image:
        """Return a label: the text, black or white, on a rounded plate.

        Unprintable characters are escaped, a long text is cut with an ellipsis, and letters missing in all fonts are
        written without accents if possible. `color` is the plate's RGB, 0..255, and `max_width` its maximum
        width in pixels. The image is RGBA, transparent outside the plate; it is cached: do not modify it.
        """
        key = text, color, max_width
        if key not in self._painted:
            if len(self._painted) >= _CACHE_SIZE:
                self._painted.clear()
            self._painted[key] = self._paint(text, color, max_width)
        return self._painted[key]

    def _paint(self, text: str, color: Color, max_width: int) -> Image:
        from PIL import Image, ImageDraw

        margin_x, margin_y = round(self._size * 0.42), round(self._size * 0.2)
        font, text = self._choose_font(printable(text))
        text = _shorten(text, font, max_width - 2 * margin_x)
        ascent, descent = font.getmetrics()
        width, height = round(font.getlength(text)) + 2 * margin_x, ascent + descent + 2 * margin_y
        label = Image.new("RGBA", (max(1, min(width, max_width)), height), (*color, 0))
        label.putalpha(_rounded_mask(label.size, self._size / 4))
        ink = (255, 255, 255) if _luminance(color) < 0.4 else (20, 20, 20)
        ImageDraw.Draw(label).text((margin_x, margin_y + ascent), text, fill=ink, font=font, anchor="ls")
        return label

    def _choose_font(self, text: str) -> tuple[FreeTypeFont, str]:
        """Return the font with the fewest missing letters, and the text with the accents of these removed."""
        if self._fonts is None:
            self._fonts = _installed_fonts(self._size)
        # the first font of the list wins a tie
        font = min(self._fonts, key=lambda candidate: len(_missing_letters(text, candidate)))
        missing = _missing_letters(text, font)
        return font, "".join(_strip_accents(letter, font) if letter in missing else letter for letter in text)


def _installed_fonts(size: int) -> list[FreeTypeFont]:
    from PIL import ImageFont

    fonts = []
    for name in _SYSTEM_FONTS:
        try:
            fonts.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    default = ImageFont.load_default(size)
    if isinstance(default, ImageFont.FreeTypeFont):
        fonts.append(default)
    return fonts


def _missing_letters(text: str, font: FreeTypeFont) -> set[str]:
    # Pillow cannot list a font's characters: missing ones are drawn like a character that no font has
    placeholder = _render(_NO_CHARACTER, font)
    letters = {letter for letter in text if not letter.isspace() and not unicodedata.combining(letter)}
    return {letter for letter in letters if _render(letter, font) == placeholder}


def _render(letter: str, font: FreeTypeFont) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def _strip_accents(letter: str, font: FreeTypeFont) -> str:
    base = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    return letter if _missing_letters(base, font) else base


def _shorten(text: str, font: FreeTypeFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    ellipsis = "..." if _missing_letters("…", font) else "…"
    while text and font.getlength(text + ellipsis) > width:
        text = text[:-1].rstrip()
    return text + ellipsis


def _rounded_mask(size: tuple[int, int], radius: float) -> Image:
    from PIL import Image, ImageDraw

    large = (size[0] * _SMOOTHING, size[1] * _SMOOTHING)
    plate = Image.new("L", large, 0)
    ImageDraw.Draw(plate).rounded_rectangle(((0, 0), (large[0] - 1, large[1] - 1)), radius * _SMOOTHING, fill=255)
    return plate.resize(size, Image.Resampling.BOX)


def _luminance(color: Color) -> float:
    """Return the relative luminance of an sRGB color, 0..1 (WCAG 2.1)."""
    red, green, blue = (
        value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in color
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
