"""Builds the calibration of the embedded pack from three groups of development people.

    python -m benchmarks.calibrate ../shared/data --out facebank/packs/embedded

Equivalent to ``facebank packs calibrate`` for all classifiers, but with three groups of people:

- adults: LFW's ``peopleDevTrain.txt``, using the central face of each photo;
- families: half of ``hard/siblings.npz`` (families with an even number): one or two siblings among LFW's adults,
  with strangers from other families; adults who may be in both sets are excluded;
- young people: half of ``hard/ages.npz`` (people with an even number), as children and young people.

The result holds curves, thresholds, and LFW's mean and covariances, but no embeddings. Its accuracy is measured on
other people by ``python -m benchmarks.decisions`` and ``python -m benchmarks.hard_cases``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks.hard_cases import exclude_people_of
from benchmarks.lfw import DEVELOPMENT, LfwFaces, lfw_faces, read_people
from facebank.packs import Pack, load_pack
from facebank.recognition.calibration.background import Background
from facebank.recognition.calibration.calibration import Calibration
from facebank.recognition.calibration.files import (
    BACKGROUND_NAME,
    CALIBRATION_NAME,
    check_folder,
    save_pack_calibration,
)
from facebank.recognition.calibration.fitting import Effort, Population, fit_calibrator
from facebank.recognition.calibration.simulation import Identities
from facebank.recognition.pairs import DEFAULT_PAIR_MODEL
from facebank.recognition.scoring import CLASSIFIERS
from facebank.recognition.training import FITTED

WORLD_READABLE = 0o644
MADE_FROM = (
    "LFW peopleDevTrain; half of a set of brothers and sisters (Families In the Wild); half of a set of people as "
    "adults and young (Large Age Gap)"
)

FAMILY_WEIGHTS, YOUNG_WEIGHTS = (0.25, 0.03), (0.05, 0.05)
"""Weights of a group's strangers (for thresholds) and of its searches (for probabilities), relative to adults."""

EFFORT = Effort(enrolled=1200, strangers=12_000, galleries=(16, 50))
FITTED_EFFORT = Effort(enrolled=400, strangers=6_000, galleries=(6, 24))


def good_faces(data: Path, pack: Pack, listing: str) -> LfwFaces:
    """Return the faces of an LFW list of people that meet the minimum quality."""
    faces = lfw_faces(data, pack).select_people(read_people(data, listing))
    return faces.where(faces.has_face & (faces.qualities >= pack.manifest.thresholds.minimum_quality))


def populations(data: Path, pack: Pack, listing: str = DEVELOPMENT) -> list[Population]:
    """Return the three groups of people, for development or for reporting."""
    faces = good_faces(data, pack, listing)
    remainder = 0 if listing == DEVELOPMENT else 1
    families = _hard_identities(data / "hard" / "siblings.npz", "family", pack, remainder)
    young = _hard_identities(data / "hard" / "ages.npz", "person", pack, remainder)
    return [
        Population(_identities(faces)),
        Population(families, _identities(exclude_people_of(faces, [families])), *FAMILY_WEIGHTS),
        Population(young, None, *YOUNG_WEIGHTS),
    ]


def _identities(faces: LfwFaces) -> Identities:
    return Identities(faces.embeddings, faces.people, faces.qualities)


def _hard_identities(path: Path, key: str, pack: Pack, remainder: int) -> Identities:
    """Read the families or people with even (`remainder` 0) or odd (1) numbers; of a set of ages, only the young."""
    with np.load(path, allow_pickle=False) as arrays:
        chosen = (arrays[key] % 2 == remainder) & (arrays["quality"] >= pack.manifest.thresholds.minimum_quality)
        if "young" in arrays.files:
            chosen &= arrays["young"]
        _, first, person_ids = np.unique(arrays["person"][chosen], return_index=True, return_inverse=True)
        families = np.unique(arrays[key][chosen][first], return_inverse=True)[1] if key == "family" else None
        return Identities(
            arrays["embedding"][chosen].astype(np.float32),
            person_ids.astype(np.int64),
            arrays["quality"][chosen].astype(np.float32),
            families,
        )


def main() -> None:
    """Compute and write the calibration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/, lfw-meta/ and hard/")
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    parser.add_argument("--classifier", action="append", choices=CLASSIFIERS, help="may be repeated; default: all")
    parser.add_argument("--out", type=Path, required=True, help="output folder, such as the pack's")
    arguments = parser.parse_args()
    pack = load_pack(arguments.pack)
    check_folder(arguments.out)
    groups = populations(arguments.data, pack)
    adults = groups[0].identities
    background = Background.measure(adults.embeddings, adults.person_ids)
    calibrators = []
    for classifier in arguments.classifier or CLASSIFIERS:
        effort = FITTED_EFFORT if classifier in FITTED else EFFORT
        calibrators.append(fit_calibrator(groups, classifier, background, effort=effort))
        print(f"{classifier}: done", file=sys.stderr, flush=True)
    calibration = Calibration(
        pack_digest=pack.digest,
        made_from=MADE_FROM,
        people=sum(len(group.identities.photos) for group in groups),
        photos=sum(len(group.identities.person_ids) for group in groups),
        calibrators=tuple(calibrators),
        pairs=DEFAULT_PAIR_MODEL,
    )
    save_pack_calibration(calibration, background, arguments.out)
    for name in (CALIBRATION_NAME, BACKGROUND_NAME):
        (arguments.out / name).chmod(WORLD_READABLE)
    print(f"{calibration.people} people, {calibration.photos} photos")


if __name__ == "__main__":
    main()
