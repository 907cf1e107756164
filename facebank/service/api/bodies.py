"""Request parameters other than photos: JSON bodies, path parameters, and paging."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

_MAX_INTEGER = 2**53  # exact in JavaScript
_MAX_ITEMS = 1000

Name = Annotated[str, Path(description="The person's name, percent-encoded; case is ignored.")]
Number = Annotated[int, Path(ge=1, le=_MAX_INTEGER)]
Limit = Annotated[int, Query(ge=1, le=_MAX_ITEMS, description="Maximum number of items.")]
Least = Annotated[int, Query(ge=1, le=_MAX_INTEGER, description="Minimum number of faces of a group.")]
Offset = Annotated[int, Query(ge=0, le=_MAX_INTEGER, description="Number of items to skip.")]
DryRun = Annotated[bool, Query(description="Only return what would be removed and what would remain.")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ScanBody(_Body):
    """The folders to scan."""

    folders: list[str] = Field(
        default=[],
        max_length=_MAX_ITEMS,
        description="Folders of the album, absolute or relative to a folder of --album; none for all.",
    )


class ClusterBody(_Body):
    """Options of grouping."""

    least: int = Field(default=2, ge=1, le=_MAX_INTEGER, description="Minimum number of faces of a returned group.")


class NameBody(_Body):
    """The name for a group."""

    person: str = Field(description="The person's name; samples are added if the person is enrolled.")
    force: bool = Field(default=False, description="Accept faces that are unlike the person's, or like another's.")
    key: str | None = Field(default=None, description="The group's key; fails if another group has the number now.")


class PersonBody(_Body):
    """Changes to a person; omitted fields are unchanged, and null clears a field."""

    name: str | None = Field(default=None, description="New name.")
    born: str | None = Field(default=None, description="Birth date: YYYY, YYYY-MM or YYYY-MM-DD.")
    note: str | None = Field(default=None, description="A note of at most 2,000 characters.")


class MergeBody(_Body):
    """The people to merge into a person."""

    sources: list[str] = Field(min_length=1, max_length=_MAX_ITEMS, description="Names of the people to merge.")
    force: bool = Field(default=False, description="Merge even if their samples look like two people.")


class SettingsBody(_Body):
    """Decision settings; omitted ones are unchanged, and null resets to the default."""

    fpir: float | None = Field(default=None, description="Target fraction of strangers who are named, 0.001 to 0.2.")
    classifier: str | None = Field(default=None, description="auto, prototype, knn, svm, svm-rbf or logistic.")
    stranger_share: float | None = Field(default=None, description="Expected fraction of strangers' faces.")
    least_probability: float | None = Field(default=None, description="Minimum probability of a name.")
    allow_twice: bool | None = Field(default=None, description="Whether faces of one photo may have the same name.")
    confusable_error: float | None = Field(
        default=None, description="Allowed fraction of wrong names between people who look alike."
    )
