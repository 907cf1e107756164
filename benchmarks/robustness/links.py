"""Checks that no command changes files outside of the given folders through links.

    python -m benchmarks.robustness.links --trees 20

Each tree is an album with links of all kinds (to files, folders and sidecars, chained, circular, broken) to photos and
sidecars outside. Its output folders have links under the names that commands will write. All commands that write files
run on it. Counts the runs, and the outside files that were changed, created, removed, linked, or whose permissions
changed. Exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.robustness.inputs import DEMO_PHOTOS, ENROLLED, add_comment, copy_embedded_pack
from benchmarks.robustness.killer import Killer
from benchmarks.robustness.kills import XMP

PHOTOS = ("barack_obama_speech.jpg", "barack_obama_blue_room.jpg", "eileen_collins.jpg", "joe_biden_blue_room.jpg")
PEOPLE = tuple(ENROLLED)
COMMANDS: dict[str, Sequence[str]] = {
    "sort --copy": ("sort", "album", "out", "--copy"),
    "undo of --copy": ("sort", "out", "--undo"),
    "sort --link": ("sort", "album", "out", "--link"),
    "undo of --link": ("sort", "out", "--undo"),
    "sort --move": ("sort", "album", "out", "--move"),
    "undo of --move": ("sort", "out", "--undo"),
    "tags write": ("tags", "write", "album", "--unnamed"),
    "tags write --embed": ("tags", "write", "album", "--embed"),
    "identify --annotate": ("identify", "album", "--annotate", "out"),
    "cluster --out": ("cluster", "--out", "out/sheet.html"),
    "explain --out": ("explain", "album/sub/photo 0.jpg", "album/photo 1.jpg", "--out", "out/why.png"),
    "video --annotate": ("video", "clip.avi", "--annotate", "out/clip.mp4", "--thumbnails", "out/faces"),
    "find --out": ("find", "Barack Obama", "--out", "out/found.html"),
    "people show --out": ("people", "show", "Barack Obama", "--out", "out/person.html"),
    "people export": ("people", "export", "out/export"),
    "people backup": ("people", "backup", "out/copy.facebank"),
    "bench --out": ("bench", "verify", "people", "--out", "out/report", "--scores"),
    "demo": ("demo", "--out", "out/demo"),
    "scan --scan-file": ("scan", "album", "--scan-file", "out/album.scan"),
    "packs add": ("packs", "add", "mine"),
    "packs add --replace": ("packs", "add", "mine", "--replace"),
    "packs remove": ("packs", "remove", "mine"),
    "tags import": ("tags", "import", "album"),
    "tags remove": ("tags", "remove", "Eileen Collins", "album"),
    "people check --repair": ("people", "check", "--repair"),
    "doctor --clean": ("doctor", "--clean"),
    "people forget": ("people", "forget", "Eileen Collins", "--yes"),
}
"""Commands to run on each tree, in this order; later ones use the results of earlier ones."""

_GALLERY_ONLY = (
    *("enroll", "confirm", "deny", "people name", "people set", "people rename", "people merge", "people unmerge"),
    *("people split", "people remove-sample", "people re-embed", "strangers forget", "settings set", "settings unset"),
)
_KEYS_ONLY = ("serve keys add", "serve keys revoke")
_READ_ONLY = (
    *("verify", "lookalike", "audit", "tags show", "people list", "strangers list", "settings show"),
    *("packs list", "packs show", "packs verify", "serve keys list", "album show", "help"),
)
EXCLUDED: Mapping[str, str] = {
    "packs install": "needs a server or an archive, and writes like packs add",
    "packs calibrate": "needs photos of 40 people",
    "watch": "needs a camera, and writes nothing",
    "people unmirror": "needs a Milvus server, and writes only the gallery",
    "import compreface": "needs a service, and writes only the gallery",
    "people import": "needs an export, and writes only the gallery",
    **dict.fromkeys(_GALLERY_ONLY, "writes only the gallery"),
    **dict.fromkeys(("album open", "album close"), "writes only the path of the scan beside the gallery"),
    **dict.fromkeys(_KEYS_ONLY, "writes only the file of keys beside the gallery"),
    **dict.fromkeys(_READ_ONLY, "writes nothing"),
}
"""Commands that are not run, with the reason."""

_PHOTO_COUNT = 8


def make_tree(folder: Path, seed: int) -> None:
    """Create an album and an output folder with links to the folder ``outside`` next to them."""
    rng = random.Random(seed)
    album, out, outside = folder / "album", folder / "out", folder / "outside"
    folders = (out / name for name in ("report", "faces", "demo"))
    for new_folder in (album / "sub", outside / "deep", folder / "packs", *folders):
        new_folder.mkdir(parents=True)
    for number in range(_PHOTO_COUNT):
        original = DEMO_PHOTOS / PHOTOS[number % len(PHOTOS)]
        outside_folder = outside if number % 2 else outside / "deep"
        for photo_folder in (album if number % 3 else album / "sub", outside_folder):
            content = add_comment(original, f"{seed:04}{number:04} {photo_folder.name}")
            (photo_folder / f"photo {number}.jpg").write_bytes(content)
        (outside_folder / f"photo {number}.jpg.xmp").write_text(XMP.format(number))
    for person, file_names in (("Ada", PHOTOS[:2]), ("Bea", PHOTOS[2:])):
        (folder / "people" / person).mkdir(parents=True)
        for file_name in file_names:
            shutil.copy(DEMO_PHOTOS / file_name, folder / "people" / person / file_name)
    (outside / "page.html").write_text("mine")
    for make_link in _link_makers(album, outside):
        if rng.random() < 0.7:
            make_link()
    _make_clip(folder / "clip.avi")
    copy_embedded_pack(folder / "mine", "mine")
    for path in (*_output_paths(out), folder / "packs" / "mine"):
        if rng.random() < 0.4:
            is_folder = path.suffix == ""
            path.symlink_to(outside / ("deep" if is_folder else rng.choice(("page.html", "photo 1.jpg", "none"))))


def _output_paths(out: Path) -> Iterator[Path]:
    """Yield the paths of files and folders that the commands write."""
    yield from (out / name for name in (*PEOPLE, "export", "sub"))
    yield from (out / name for name in ("sheet.html", "why.png", "clip.mp4", "found.html", "person.html"))
    yield from (out / name for name in ("copy.facebank", "album.scan", "demo/demo.jpg", "demo/demo.png"))
    yield from (out / "faces" / f"{label} 00m00.jpg" for label in ("stranger 1", "Barack Obama"))
    yield from (out / f".facebank-{number}-{number:016}.part" for number in (1, 2))
    yield from (out / f".facebank-3-{3:016}.part{suffix}" for suffix in (".jpg", ".html"))
    yield from (out / "report" / name for name in ("report.json", "report.md", "report.html", "scores.csv"))
    yield from (out / f"photo {number}.jpg" for number in range(_PHOTO_COUNT))


def _make_clip(path: Path) -> None:
    """Write a video of one second with a face."""
    import cv2

    photo_path = DEMO_PHOTOS / PHOTOS[0]
    photo = cv2.imread(str(photo_path))
    if photo is None:
        raise FileNotFoundError(f"The demonstration photo {photo_path} cannot be read: reinstall facebank.")
    frame = cv2.resize(photo, (640, 480))
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (640, 480))
    for _ in range(10):
        video.write(frame)
    video.release()


def _link_makers(album: Path, outside: Path) -> Iterator[Callable[[], None]]:
    """Return functions that create one link each."""
    targets = {
        album / "file.jpg": outside / "photo 1.jpg",
        album / "relative.jpg": Path("..", "outside", "photo 3.jpg"),
        album / "folder": outside / "deep",
        album / "sub" / "up": outside,
        album / "chain.jpg": Path("folder", "photo 0.jpg"),
        album / "broken.jpg": outside / "none.jpg",
        album / "circle.jpg": Path("circle.jpg"),
        album / "self": album,
        album / "root": Path("/", "proc", "self", "cwd", "outside"),
        album / "photo 1.jpg.xmp": outside / "photo 1.jpg.xmp",
        album / "photo 2.xmp": outside / "photo 3.jpg.xmp",
        album / "photo 4.jpg.xmp": outside / "new.xmp",
        album / "device.jpg": Path("/dev/zero"),
    }
    for path, target in targets.items():
        yield lambda path=path, target=target: path.symlink_to(target)  # type: ignore[misc]


def read_state(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return the state of all files in a folder: content, inode, links, permissions and modification time."""
    state = dict[str, tuple[object, ...]]()
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        state[str(path)] = (content, status.st_ino, status.st_nlink, status.st_mode, status.st_mtime_ns)
    return state


def try_tree(folder: Path, seed: int, commands: Sequence[str] = tuple(COMMANDS)) -> list[str]:
    """Run the commands on a new tree; return their changes outside, and the commands that failed."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    make_tree(work, seed)
    environment = {
        "FACEBANK_GALLERY": str(work / "test.facebank"),
        "FACEBANK_CACHE": str(folder / "cache"),
        "FACEBANK_PACKS": str(work / "packs"),
        "FACEBANK_CALIBRATIONS": str(work / "calibrations"),
    }
    killer, before = Killer(work, environment), read_state(work / "outside")
    for name, file_name in ENROLLED.items():
        killer.run(("enroll", "--name", name, str(DEMO_PHOTOS / file_name)))
    killer.run(("scan", "album"))
    wrong = list[str]()
    for name in commands:
        code = killer.run(COMMANDS[name])
        after = read_state(work / "outside")
        if code not in (0, 1, 2):
            wrong.append(f"tree {seed}: {name} ended with {code}")
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        wrong += [f"tree {seed}: {name} changed {os.path.relpath(path, work)}" for path in changed]
        before = after
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Test many trees, print the counts, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=int, default=10, help="number of random folder trees (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random trees (default 0)")
    options = parser.parse_args(arguments)
    wrong = list[str]()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seed, options.seed + options.trees):
            wrong += try_tree(Path(folder), seed)
    for line in wrong:
        print(json.dumps({"wrong": line}), flush=True)
    runs = options.trees * len(COMMANDS)
    print(f"{runs:,} runs over {options.trees:,} trees, {len(wrong):,} outside files changed or runs failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
