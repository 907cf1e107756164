"""Decision settings of a gallery."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import GalleryFormatError, UsageError
from facebank.gallery import Gallery, PackIdentity
from facebank.recognition.scoring import CLASSIFIERS
from facebank.recognition.settings import (
    KEYS,
    MAX_FPIR,
    MIN_FPIR,
    DecisionSettings,
    Setting,
    change_setting,
    list_settings,
    unset_setting,
)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    """An empty gallery."""
    with Gallery.open(tmp_path / "some.facebank", PackIdentity("opencv", "ab" * 32, 4), create=True) as opened:
        yield opened


def test_a_new_gallery_has_the_defaults(gallery: Gallery) -> None:
    assert DecisionSettings.from_gallery(gallery) == DecisionSettings(0.01, "prototype", 0.5, 0.5, False)
    assert KEYS == ("fpir", "classifier", "stranger_share", "least_probability", "allow_twice", "confusable_error")


def test_settings_are_stored_except_defaults(gallery: Gallery) -> None:
    settings = DecisionSettings(
        fpir=0.001, classifier="svm", stranger_share=0.9, least_probability=0.0, allow_twice=True, confusable_error=0.1
    )
    settings.write(gallery)
    assert DecisionSettings.from_gallery(gallery) == settings
    DecisionSettings(fpir=0.01, classifier="knn").write(gallery)
    assert [gallery.read_setting(key) for key in KEYS] == [None, "knn", None, None, None, None]
    assert DecisionSettings.from_gallery(gallery) == DecisionSettings(classifier="knn")


@pytest.mark.parametrize("classifier", ["auto", *CLASSIFIERS])
def test_every_classifier_is_accepted(gallery: Gallery, classifier: str) -> None:
    expected = Setting("classifier", classifier, "prototype", is_set=True)
    assert change_setting(gallery, "classifier", classifier) == expected


@given(st.floats() | st.integers() | st.text(max_size=20) | st.none() | st.booleans())
def test_accepted_fractions_are_within_their_limits(value: float | str | bool | None) -> None:
    for key, smallest, largest in (
        ("fpir", MIN_FPIR, MAX_FPIR),
        ("stranger_share", 0.0, 1.0),
        ("least_probability", 0.0, 1.0),
    ):
        try:
            stored = getattr(DecisionSettings(**{key: value}), key)  # type: ignore[arg-type]
        except UsageError:
            continue
        assert isinstance(stored, float)
        assert smallest <= stored <= largest
        assert stored < 1
        assert stored > 0 or key == "least_probability"
        assert not isinstance(value, bool)


@pytest.mark.parametrize(
    "settings",
    [
        {"fpir": 0.0},
        {"fpir": 0.0009},
        {"fpir": 0.21},
        {"stranger_share": 0.0},
        {"stranger_share": 1.0},
        {"least_probability": -0.1},
        {"least_probability": 1.0},
        {"allow_twice": "perhaps"},
        {"allow_twice": 1},
        {"confusable_error": 0.0},
        {"confusable_error": 0.6},
        {"confusable_error": "few"},
        {"classifier": "forest"},
    ],
)
def test_invalid_values_are_rejected(settings: dict[str, float | str]) -> None:
    (key,) = settings
    with pytest.raises(UsageError, match=key):
        DecisionSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("fpir", [MIN_FPIR, 0.01, MAX_FPIR])
def test_rates_of_the_calibration_are_accepted(fpir: float) -> None:
    assert DecisionSettings(fpir=fpir).fpir == fpir
    assert (MIN_FPIR, MAX_FPIR) == (0.001, 0.2)


def test_settings_of_a_call_are_checked() -> None:
    settings = DecisionSettings(classifier="knn")
    assert settings.changed({}) == settings
    assert settings.changed({"fpir": 0.1}) == DecisionSettings(fpir=0.1, classifier="knn")
    for key, value in (("fpir", 0.5), ("classifier", "forest"), ("stranger_share", 1.0), ("least_probability", 1)):
        with pytest.raises(UsageError, match=key):
            settings.changed({key: value})


@pytest.mark.parametrize(("text", "value"), [("true", True), ("Yes", True), ("off", False), ("false", False)])
def test_booleans_are_parsed_from_words(gallery: Gallery, text: str, value: bool) -> None:
    assert change_setting(gallery, "allow_twice", text).value is value
    assert DecisionSettings.from_gallery(gallery).allow_twice is value


def test_demanding_settings_only_raise_the_probability() -> None:
    settings = DecisionSettings(least_probability=0.6)
    assert settings.with_least_probability(None) == settings.with_least_probability(0.6) == settings
    assert settings.with_least_probability(0.9).least_probability == 0.9
    assert 0.999999 < settings.with_least_probability(1.0).least_probability < 1
    with pytest.raises(UsageError, match=r"is 0\.6 in.* not lowered to 0\.3: .*set least_probability 0\.3'"):
        settings.with_least_probability(0.3)


def test_a_setting_is_changed_and_reset(gallery: Gallery) -> None:
    assert change_setting(gallery, "fpir", "0.02") == Setting("fpir", 0.02, 0.01, is_set=True)
    assert [setting.is_set for setting in list_settings(gallery)] == [True, False, False, False, False, False]
    assert unset_setting(gallery, "fpir") == Setting("fpir", 0.01, 0.01, is_set=False)
    with pytest.raises(UsageError, match=", ".join(KEYS)):
        change_setting(gallery, "color", "red")
    with pytest.raises(UsageError, match=", ".join(KEYS)):
        unset_setting(gallery, "color")


@pytest.mark.parametrize(
    ("key", "value"), [("fpir", {}), ("fpir", 7), ("classifier", ["knn"]), ("classifier", 1), ("stranger_share", True)]
)
def test_an_invalid_stored_value_is_an_error_with_the_reset_command(gallery: Gallery, key: str, value: object) -> None:
    gallery.write_setting(key, value)
    for read in (DecisionSettings.from_gallery, list_settings):
        with pytest.raises(GalleryFormatError, match=f"'facebank settings unset {key}'"):
            read(gallery)
    change_setting(gallery, "fpir", "0.05")
    unset_setting(gallery, key)
    assert len(list_settings(gallery)) == len(KEYS)
