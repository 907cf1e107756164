"""Names on coloured plates, in any script that a font at hand can write."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from facebank.storage.text import printable

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

# Widest coverage and best looks first; each is used where it is installed.
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
_KEPT = 256


class LabelPainter:
    """Paints labels of one text size.

    Parameters
    ----------
    size
        Height of the letters' em square in pixels, 1 or more.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._fonts: list[FreeTypeFont] | None = None
        self._painted: dict[tuple[str, tuple[int, int, int], int], Image] = {}

    @property
    def size(self) -> int:
        """Height of the letters' em square in pixels."""
        return self._size

    def paint(self, text: str, colour: tuple[int, int, int], max_width: int) -> Image:
        """Paint a label: the text on a rounded plate.

        Parameters
        ----------
        text
            One line; what would not print is escaped, what is too long is cut with an ellipsis. Letters that no
            font at hand has are written without their accents, if that helps.
        colour
            The plate's RGB, 0..255; the text is black or white, whichever is easier to read on it.
        max_width
            The plate's largest width in pixels.

        Returns
        -------
        Image
            RGBA, transparent outside the plate; the same one each time, not to be changed.
        """
        key = text, colour, max_width
        if key not in self._painted:
            if len(self._painted) >= _KEPT:
                self._painted.clear()
            self._painted[key] = self._paint(text, colour, max_width)
        return self._painted[key]

    def _paint(self, text: str, colour: tuple[int, int, int], max_width: int) -> Image:
        from PIL import Image, ImageDraw

        across, down = round(self._size * 0.42), round(self._size * 0.2)
        font, text = self._written(printable(text))
        text = _shortened(text, font, max_width - 2 * across)
        ascent, descent = font.getmetrics()
        width, height = round(font.getlength(text)) + 2 * across, ascent + descent + 2 * down
        label = Image.new("RGBA", (max(1, min(width, max_width)), height), (*colour, 0))
        label.putalpha(_rounded(label.size, self._size / 4))
        ink = (255, 255, 255) if _luminance(colour) < 0.4 else (20, 20, 20)
        ImageDraw.Draw(label).text((across, down + ascent), text, fill=ink, font=font, anchor="ls")
        return label

    def _written(self, text: str) -> tuple[FreeTypeFont, str]:
        """Choose the font that lacks the fewest letters, and spell what it lacks without accents."""
        if self._fonts is None:
            self._fonts = _fonts_at_hand(self._size)
        # the first font of the list wins a tie
        font = min(self._fonts, key=lambda each: len(_missing(text, each)))
        lacking = _missing(text, font)
        return font, "".join(_plain(letter, font) if letter in lacking else letter for letter in text)


def _fonts_at_hand(size: int) -> list[FreeTypeFont]:
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


def _missing(text: str, font: FreeTypeFont) -> set[str]:
    # Pillow does not tell which characters a font has: those it lacks are drawn like one that no font has
    nothing = _drawn(_NO_CHARACTER, font)
    letters = {letter for letter in text if not letter.isspace() and not unicodedata.combining(letter)}
    return {letter for letter in letters if _drawn(letter, font) == nothing}


def _drawn(letter: str, font: FreeTypeFont) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def _plain(letter: str, font: FreeTypeFont) -> str:
    base = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    return letter if _missing(base, font) else base


def _shortened(text: str, font: FreeTypeFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    ending = "..." if _missing("…", font) else "…"
    while text and font.getlength(text + ending) > width:
        text = text[:-1].rstrip()
    return text + ending


def _rounded(size: tuple[int, int], radius: float) -> Image:
    from PIL import Image, ImageDraw

    large = (size[0] * _SMOOTHING, size[1] * _SMOOTHING)
    plate = Image.new("L", large, 0)
    ImageDraw.Draw(plate).rounded_rectangle(((0, 0), (large[0] - 1, large[1] - 1)), radius * _SMOOTHING, fill=255)
    return plate.resize(size, Image.Resampling.BOX)


def _luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance of an sRGB colour, 0..1 (WCAG 2.1)."""
    red, green, blue = (
        value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
