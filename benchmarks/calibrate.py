"""The calibration that comes with the embedded pack, made from LFW's development people.

    python -m benchmarks.calibrate ../shared/data --out facebank/packs/embedded

It is what ``facebank packs calibrate`` makes, for all classifiers, of the people of ``peopleDevTrain.txt``; but that a
photo's face is the central one, for there LFW's person is. How far it can be trusted is counted on each half of these
people with a calibration of the other half, and printed; on the reporting people by ``python -m benchmarks.decisions``.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from benchmarks.lfw import DEVELOPMENT, LfwFaces, lfw_faces, people_listed
from facebank.calibrating import Calibrated, calibrate, plan_calibration
from facebank.calibrations import BACKGROUND_NAME, CALIBRATION_NAME, require_folder, save_knowledge
from facebank.gallery import PackIdentity
from facebank.packs import Pack, load_pack
from facebank.recognition.scoring import CLASSIFIERS
from facebank.recognition.simulation import Identities

READABLE_BY_EVERYBODY = 0o644


def development_faces(data: Path, pack: Pack) -> LfwFaces:
    """Return the faces of the development people that are good enough to be judged."""
    faces = lfw_faces(data, pack).of(people_listed(data, DEVELOPMENT))
    return faces.where(faces.found & (faces.qualities >= pack.manifest.thresholds.minimum_quality))


def make(faces: LfwFaces, pack: Pack, classifiers: list[str]) -> Calibrated:
    """Calibrate a pack, telling how far it is."""
    identities = Identities(faces.embeddings, faces.people, faces.qualities)
    identity = PackIdentity(pack.name, pack.digest, pack.manifest.embedder.dimension)
    job = plan_calibration(identities, classifiers)
    done: Counter[str] = Counter()

    def tell(classifier: str) -> None:
        done[classifier] += 1
        if done[classifier] % 100 == 0:
            print(f"{classifier}: {done[classifier]} of {job.galleries[classifier]} galleries", file=sys.stderr)

    return calibrate(identities, identity, job.classifiers, "LFW peopleDevTrain", on_gallery=tell)


def main() -> None:
    """Make the calibration and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    parser.add_argument("--classifier", action="append", choices=CLASSIFIERS, help="default: all")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into, such as the pack's")
    arguments = parser.parse_args()
    pack = load_pack(arguments.pack)
    require_folder(arguments.out)
    found = make(development_faces(arguments.data, pack), pack, arguments.classifier or list(CLASSIFIERS))
    save_knowledge(found.calibration, found.background, arguments.out)
    for name in (CALIBRATION_NAME, BACKGROUND_NAME):
        (arguments.out / name).chmod(READABLE_BY_EVERYBODY)
    print(f"{found.calibration.people} people, {found.calibration.photos} photos")
    for classifier, several in found.reliability.items():
        for one in several:
            print(
                f"{classifier}, {one.size} people: FPIR {one.fpir:.2%} where 1 % was asked for, Brier {one.brier:.4f}, "
                f"log loss {one.log_loss:.4f}, ECE {one.ece:.4f}"
            )


if __name__ == "__main__":
    main()
