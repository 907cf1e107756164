"""Page of the decision settings, with explanations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Body

from facebank.errors import ScanNotFoundError
from facebank.recognition.scoring import CLASSIFIERS
from facebank.recognition.settings import AUTOMATIC, change_setting, list_settings, unset_setting
from facebank.service.access import AdminCaller, ReadCaller
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
    description: str
    choices: tuple[tuple[str, str], ...]  # values and their descriptions


_METHODS = {
    "prototype": "average faces",
    "knn": "most similar faces",
    "svm": "straight borders",
    "svm-rbf": "curved borders",
    "logistic": "weighted features",
}
_TEXTS = {
    "fpir": _SettingText(
        "Strangers with a wrong name",
        "How many strangers may be given somebody's name by mistake. With fewer, more faces stay without a name.",
        (("0.001", "1 of 1,000"), ("0.01", "1 of 100"), ("0.05", "1 of 20"), ("0.1", "1 of 10")),
    ),
    "least_probability": _SettingText(
        "How sure a name has to be",
        "A face gets a name only if it is at least this probable; otherwise, you are asked who it is.",
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
        ((AUTOMATIC, "what suits best"), *((classifier, _METHODS[classifier]) for classifier in CLASSIFIERS)),
    ),
}


@dataclass(frozen=True, slots=True)
class _SettingView:
    key: str
    title: str
    description: str
    value: str
    is_set: bool
    choices: tuple[tuple[str, str], ...]


@router.get("")
async def settings(caller: ReadCaller, memory: MemoryDep) -> Response:
    """Show the settings."""
    views, facts = await memory.service.lookups.run(_views, memory)
    return page("settings.html", caller, current_path="/settings", settings=views, facts=facts)


@router.post("")
async def change(
    _: AdminCaller,
    memory: MemoryDep,
    key: Annotated[str, Body(max_length=100)],
    value: Annotated[str, Body(max_length=100)],
) -> dict[str, object]:
    """Change a setting; an empty value is its default."""
    gallery = memory.service.bank.gallery
    if value:
        await memory.service.lookups.run(change_setting, gallery, key, value)
    else:
        await memory.service.lookups.run(unset_setting, gallery, key)
    memory.wake()
    return {"message": "Saved. All photos will be identified again."}


def _views(memory: PageMemory) -> tuple[list[_SettingView], dict[str, int]]:
    gallery = memory.service.bank.gallery
    views = [_view_of(setting) for setting in list_settings(gallery)]
    views.sort(key=lambda setting: list(_TEXTS).index(setting.key) if setting.key in _TEXTS else len(_TEXTS))
    people = gallery.people()
    try:
        counts = memory.service.album.scan_file.count()
        photos, faces = counts.files, counts.faces
    except ScanNotFoundError:
        photos = faces = 0
    samples = sum(person.sample_count for person in people)
    return views, {"people": len(people), "samples": samples, "photos": photos, "faces": faces}


def _view_of(setting: Setting) -> _SettingView:
    text = _TEXTS.get(setting.key, _SettingText(setting.key, "", ()))
    value, default = _format_value(setting.value), _format_value(setting.default)
    choices = dict(text.choices)
    for choice in (default, value):
        choices.setdefault(choice, choice)
    labeled = [(choice, f"{words} (default)" if choice == default else words) for choice, words in choices.items()]
    return _SettingView(setting.key, text.title, text.description, value, setting.is_set, tuple(labeled))


def _format_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
