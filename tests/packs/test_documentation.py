"""``models/README.md`` documents all keys and all packs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from facebank.packs import DataTerms, DetectorSpec, EmbedderSpec, PackManifest, Thresholds, known_packs, load_pack
from facebank.packs.manifest import TOML_KEYS

README = (Path(__file__).parents[2] / "models" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("table", [PackManifest, DataTerms, DetectorSpec, EmbedderSpec, Thresholds])
def test_every_key_of_a_manifest_is_documented(table: type) -> None:
    keys = [TOML_KEYS.get(field.name, field.name) for field in fields(table)]
    assert [key for key in keys if f"`{key}`" not in README and f"`[{key}]`" not in README] == []


def test_every_pack_is_documented() -> None:
    assert [name for name in known_packs() if f"| `{name}` |" not in README] == []
    assert [sha256 for sha256 in load_pack().manifest.files.values() if sha256 not in README] == []
