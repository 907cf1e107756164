"""Page of the decision settings, with explanations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Body

from facebank.errors import ScanNotFoundError
from facebank.recognition.scoring import CLASSIFIERS
from facebank.recognition.settings import AUTOMATIC, change_setting, list_settings, unset_setting
from facebank.service.access import Admin, Reader
from facebank.service.page.memory import MemoryDep
from facebank.service.page.rendering import PageRoute, page

if TYPE_CHECKING:
    from fastapi.responses import Response

    from facebank.recognition.settings import Setting
    from facebank.service.page.memory import PageMemory

router = APIRouter(prefix="/settings", route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _SettingText:
    title: str
    what: str
    choices: tuple[tuple[str, str], ...]  # values and their descriptions


_METHODS = {
    "prototype": "average faces",
    "knn": "most similar faces",
    "svm": "straight borders",
    "svm-rbf": "curved borders",
    "logistic": "weighed features",
}
_TEXTS = {
    "fpir": _SettingText(
        "Strangers with a wrong name",
        "How many strangers may be given somebody's name by mistake. Fewer means that facebank says more often that it "
        "does not know.",
        (("0.001", "1 of 1,000"), ("0.01", "1 of 100"), ("0.05", "1 of 20"), ("0.1", "1 of 10")),
    ),
    "least_probability": _SettingText(
        "How sure a name has to be",
        "A face that is less likely than this gets no name, and is asked about instead.",
        (("0.5", "50 %"), ("0.7", "70 %"), ("0.9", "90 %"), ("0.95", "95 %")),
    ),
    "stranger_share": _SettingText(
        "How many faces are strangers",
        "What you expect in your photos: few faces are strangers at home, many in town. Probabilities depend on this.",
        (("0.1", "few, 1 of 10"), ("0.5", "half of them"), ("0.9", "most, 9 of 10")),
    ),
    "confusable_error": _SettingText(
        "Care with look-alikes",
        "How many wrong names are allowed between people who look alike, such as siblings.",
        (("0.01", "1 of 100"), ("0.04", "4 of 100"), ("0.1", "10 of 100")),
    ),
    "allow_twice": _SettingText(
        "One name twice in a photo",
        "Whether two faces of one photo may have the same name, as in collages and mirrors.",
        (("false", "no"), ("true", "yes")),
    ),
    "classifier": _SettingText(
        "How faces are compared",
        "With each person's average face, with the learned faces that are most similar, or by borders drawn between "
        "people. Leave this unless another way works better for your photos.",
        ((AUTOMATIC, "what suits best"), *((kind, _METHODS[kind]) for kind in CLASSIFIERS)),
    ),
}


@dataclass(frozen=True, slots=True)
class _Shown:
    key: str
    title: str
    what: str
    value: str
    is_set: bool
    choices: tuple[tuple[str, str], ...]


@router.get("")
async def settings(caller: Reader, memory: MemoryDep) -> Response:
    """Show the settings."""
    shown, facts = await memory.service.look_ups.run(_shown, memory)
    return page("settings.html", caller, here="/settings", settings=shown, facts=facts)


@router.post("")
async def change(
    _: Admin,
    memory: MemoryDep,
    key: Annotated[str, Body(max_length=100)],
    value: Annotated[str, Body(max_length=100)],
) -> dict[str, object]:
    """Change a setting; an empty value is its default."""
    gallery = memory.service.bank.gallery
    if value:
        await memory.service.look_ups.run(change_setting, gallery, key, value)
    else:
        await memory.service.look_ups.run(unset_setting, gallery, key)
    memory.wake()
    return {"message": "Saved. All photos will be identified again."}


def _shown(memory: PageMemory) -> tuple[list[_Shown], dict[str, int]]:
    gallery = memory.service.bank.gallery
    shown = [_explained(setting) for setting in list_settings(gallery)]
    shown.sort(key=lambda setting: list(_TEXTS).index(setting.key) if setting.key in _TEXTS else len(_TEXTS))
    people = gallery.people()
    try:
        scanned = memory.service.album.scan_file.count()
        photos, faces = scanned.files, scanned.faces
    except ScanNotFoundError:
        photos = faces = 0
    samples = sum(person.sample_count for person in people)
    return shown, {"people": len(people), "samples": samples, "photos": photos, "faces": faces}


def _explained(setting: Setting) -> _Shown:
    explained = _TEXTS.get(setting.key, _SettingText(setting.key, "", ()))
    value, default = _text(setting.value), _text(setting.default)
    choices = dict(explained.choices)
    for choice in (default, value):
        choices.setdefault(choice, choice)
    named = [(choice, f"{words} (default)" if choice == default else words) for choice, words in choices.items()]
    return _Shown(setting.key, explained.title, explained.what, value, setting.is_set, tuple(named))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
