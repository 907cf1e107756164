"""Registration of protocols, and command-line options from their signatures."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation.protocols import PROTOCOLS, load_protocol


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_entry_of_the_registry_is_a_protocol(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.name == name
    assert protocol.help.startswith(PROTOCOLS[name].summary)
    assert all(example.startswith(name) for example in protocol.examples)
    flags = [option.flag for _, option, _ in protocol.options().values()]
    assert len(set(flags)) == len(flags)
    assert not set(flags) & {"--out", "--seed", "--cache", "--no-cache", "--scores", "--json"}


def test_options_match_the_signatures() -> None:
    options = load_protocol("groups").options()
    assert [option.flag for _, option, _ in options.values()] == [
        "--people", "--column", "--by", "--enrolled", "--gallery-size", "--fpir"
    ]  # fmt: skip
    value_type, option, default = options["gallery_size"]
    assert (value_type, option.minimum, default) == (int, 1, 20)
    assert options["column"][2] is inspect.Parameter.empty


def test_omitted_options_keep_their_defaults(tmp_path: Path) -> None:
    embeddings = np.eye(4, 128, dtype=np.float32)
    np.savez(tmp_path / "embeddings.npz", embedding=embeddings, person=np.arange(4) // 2)
    job = load_protocol("openset").job(tmp_path / "embeddings.npz", {"shots": [], "people": None})
    assert set(job.keywords) == {"dataset"}  # type: ignore[attr-defined]
    job = load_protocol("openset").job(tmp_path / "embeddings.npz", {"shots": [2]})
    assert job.keywords["shots"] == [2]  # type: ignore[attr-defined]


def test_missing_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        load_protocol("openset").job(tmp_path / "missing.npz", {})


def test_registry_loads_without_importing_protocols() -> None:
    program = "import sys, facebank.evaluation.protocols; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
