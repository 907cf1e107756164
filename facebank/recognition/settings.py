"""Decision settings, stored in the gallery."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeAlias

from facebank.errors import GalleryFormatError, UsageError
from facebank.recognition.calibration.calibration import RATES
from facebank.recognition.classifier_choice import DEFAULT_CLASSIFIER
from facebank.recognition.pairs import DEFAULT_CONFUSABLE_ERROR
from facebank.recognition.recognizer import MIN_PROBABILITY
from facebank.recognition.scoring import CLASSIFIERS
from facebank.storage.text import printable

if TYPE_CHECKING:
    from typing import Self

    from facebank.gallery import Gallery

Value: TypeAlias = float | str | bool

AUTOMATIC = "auto"  # choose the classifier by the enrolled samples
MIN_FPIR, MAX_FPIR = RATES[0], RATES[-1]


@dataclass(frozen=True, slots=True)
class DecisionSettings:
    """The settings of decisions.

    Attributes
    ----------
    fpir
        Target fraction of strangers who are named, 0.001 to 0.2, the range of calibrations.
    classifier
        ``auto``, or one of `facebank.recognition.scoring.CLASSIFIERS`.
    stranger_share
        Expected fraction of strangers' faces, above 0 and below 1; probabilities depend on it.
    least_probability
        Minimum probability of a name, 0 or more and below 1; used only with a calibrated pack.
    allow_twice
        Whether several faces of one photo may get the same name, as in a collage.
    confusable_error
        Allowed fraction of wrong names between people who look alike, above 0 and at most 0.5.

    Raises
    ------
    UsageError
        A value is out of range.

    Examples
    --------
    >>> from facebank import DecisionSettings
    >>> careful = DecisionSettings(fpir=0.001, least_probability=0.9)
    >>> [face.person for face in next(bank.identify("party.jpg", careful)).faces]
    ['Barack', 'Joe']
    """

    fpir: float = 0.01
    classifier: str = DEFAULT_CLASSIFIER
    stranger_share: float = 0.5
    least_probability: float = MIN_PROBABILITY
    allow_twice: bool = False
    confusable_error: float = DEFAULT_CONFUSABLE_ERROR

    def __post_init__(self) -> None:
        for key, check in _CHECKS.items():
            object.__setattr__(self, key, check(getattr(self, key)))

    @classmethod
    def from_gallery(cls, gallery: Gallery) -> Self:
        """Return a gallery's settings, with defaults for the missing ones.

        Raises
        ------
        GalleryFormatError
            A stored value is invalid; the message gives the command that resets it.

        Examples
        --------
        >>> DecisionSettings.from_gallery(bank.gallery).classifier
        'prototype'
        """
        with gallery.snapshot():
            stored = {key: gallery.read_setting(key) for key in KEYS}
        try:
            return cls(**{key: value for key, value in stored.items() if value is not None})
        except UsageError as error:
            key = next(key for key, value in stored.items() if value is not None and not _is_valid(key, value))
            raise GalleryFormatError(
                f"Invalid setting in gallery {printable(str(gallery.path))}: {error}; "
                f"reset it with 'facebank settings unset {key}'."
            ) from error

    def changed(self, values: Mapping[str, Value]) -> Self:
        """Return a copy with changed values; raises `UsageError` for an invalid value.

        Examples
        --------
        >>> DecisionSettings().changed({"fpir": 0.001}).fpir
        0.001
        """
        return replace(self, **values)  # type: ignore[arg-type]  # checked in __post_init__

    def with_least_probability(self, least_probability: float | None) -> Self:
        """Return settings with a higher minimum probability, for operations that change files; None for no change.

        Raises
        ------
        UsageError
            It is lower than the current one.

        Examples
        --------
        >>> DecisionSettings().with_least_probability(0.95).least_probability
        0.95
        """
        if least_probability is None:
            return self
        if least_probability < self.least_probability:
            raise UsageError(
                f"least_probability is {self.least_probability:g} in this gallery and can only be raised here, not "
                f"lowered to {least_probability:g}: lower it with "
                f"'facebank settings set least_probability {least_probability:g}'"
            )
        # at 1 no face is named, because no probability reaches it
        return self.changed({"least_probability": min(least_probability, math.nextafter(1.0, 0.0))})

    def write(self, gallery: Gallery) -> None:
        """Store all settings in a gallery; defaults are removed.

        Raises
        ------
        UsageError
            `gallery` is not a `Gallery`.

        Examples
        --------
        >>> DecisionSettings(fpir=0.001).write(bank.gallery)
        >>> bank.settings.fpir
        0.001
        """
        if not hasattr(gallery, "write_setting"):
            raise UsageError(f"expected a gallery, such as bank.gallery, not {gallery!r}")
        default = type(self)()
        for key in KEYS:
            value = getattr(self, key)
            gallery.write_setting(key, None if value == getattr(default, key) else value)


def check_settings(settings: DecisionSettings | None) -> None:
    """Raise `UsageError` unless the argument is `DecisionSettings` or None."""
    if not (settings is None or isinstance(settings, DecisionSettings)):
        raise UsageError(f"settings must be DecisionSettings, not {printable(repr(settings))}")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a gallery."""

    key: str  # one of `KEYS`
    value: Value  # the effective value
    default: Value
    is_set: bool  # whether the value is stored in the gallery


KEYS = tuple(field.name for field in fields(DecisionSettings))
"""The names of all settings."""


def list_settings(gallery: Gallery) -> list[Setting]:
    """Return all settings of a gallery; raises as `DecisionSettings.from_gallery`."""
    settings, default = DecisionSettings.from_gallery(gallery), DecisionSettings()
    return [
        Setting(key, getattr(settings, key), getattr(default, key), gallery.read_setting(key) is not None)
        for key in KEYS
    ]


def change_setting(gallery: Gallery, key: str, text: str) -> Setting:
    """Store a setting, given as text, in a gallery; raises `UsageError` for an unknown key or an invalid value."""
    gallery.write_setting(_check_key(key), _CHECKS[key](text))
    return _read_setting(gallery, key)


def unset_setting(gallery: Gallery, key: str) -> Setting:
    """Reset a setting to its default; raises `UsageError` for an unknown key."""
    gallery.write_setting(_check_key(key), None)
    return _read_setting(gallery, key)


def change_settings(gallery: Gallery, values: Mapping[str, Value | None]) -> list[Setting]:
    """Store several settings in a gallery, None for the default, and return all; nothing is stored if one is invalid.

    Raises `UsageError` for an unknown key or an invalid value.
    """
    checked = {_check_key(key): None if value is None else _CHECKS[key](value) for key, value in values.items()}
    for key, value in checked.items():
        gallery.write_setting(key, value)
    return list_settings(gallery)


def _read_setting(gallery: Gallery, key: str) -> Setting:
    value, default = gallery.read_setting(key), getattr(DecisionSettings(), key)
    return Setting(key, default if value is None else value, default, value is not None)


def _check_key(key: str) -> str:
    if key not in KEYS:
        raise UsageError(f"unknown setting '{printable(key)}': use one of {', '.join(KEYS)}")
    return key


def _is_valid(key: str, value: object) -> bool:
    try:
        _CHECKS[key](value)
    except UsageError:
        return False
    return True


def _number_check(rule: str, fits: Callable[[float], bool]) -> Callable[[object], float]:
    """Return a check of numbers that `fits` accepts; `rule` begins the error message."""

    def check(value: object) -> float:
        number = _number(value)
        if number is None or not fits(number):
            raise UsageError(f"{rule}, not {_display(value)}")
        return number

    return check


def _allow_twice(value: object) -> bool:
    text = value.strip().casefold() if isinstance(value, str) else value
    if text is True or text in ("true", "yes", "on"):
        return True
    if text is False or text in ("false", "no", "off"):
        return False
    raise UsageError(f"allow_twice must be true or false, not {_display(value)}")


def _classifier(value: object) -> str:
    choices = (AUTOMATIC, *CLASSIFIERS)
    if not isinstance(value, str) or value not in choices:
        raise UsageError(f"classifier must be one of {', '.join(choices)}, not {_display(value)}")
    return value


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _display(value: object) -> str:
    return printable(repr(value)[:60])


_CHECKS: dict[str, Callable[[object], Value]] = {
    "confusable_error": _number_check(
        "confusable_error must be a fraction above 0 and at most 0.5, such as 0.04",
        lambda fraction: 0 < fraction <= 0.5,
    ),
    "fpir": _number_check(
        f"fpir must be a fraction from {MIN_FPIR} to {MAX_FPIR}, such as 0.01",
        lambda fraction: MIN_FPIR <= fraction <= MAX_FPIR,
    ),
    "classifier": _classifier,
    "stranger_share": _number_check(
        "stranger_share must be a fraction above 0 and below 1, such as 0.5", lambda fraction: 0 < fraction < 1
    ),
    "least_probability": _number_check(
        "least_probability must be 0 or more and below 1, such as 0.5", lambda probability: 0 <= probability < 1
    ),
    "allow_twice": _allow_twice,
}
