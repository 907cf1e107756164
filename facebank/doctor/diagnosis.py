"""What works here, what does not, and which command mends it: software, device, packs, folders and gallery."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import platform
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from facebank import __version__
from facebank.doctor.installation import (
    CORE,
    FAMILIES,
    OPTIONAL,
    RUNTIME,
    Finding,
    Installed,
    Severity,
    examine_installation,
    install_command,
    mend_command,
    replace_command,
)
from facebank.errors import FacebankError, MissingDependencyError, UsageError, was_interrupted
from facebank.storage.connections import is_writable
from facebank.storage.paths import (
    cache_folder,
    calibrations_folder,
    can_be_written,
    keep_plots_out_of_home,
    packs_folder,
)
from facebank.storage.text import printable, shell_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from facebank.packs import DeviceTrial, PackHealth

_QUOTED_COMMAND = re.compile(r"`([^`]+)`")
_CACHE_COSTS = (
    "every run prepares networks and fits classifiers anew, a large gallery is indexed anew, `facebank bench` embeds "
    "all photos anew, and scores are not corrected by the people of a later scan; set FACEBANK_CACHE to a folder that "
    "may be written"
)


@dataclass(frozen=True, slots=True)
class Section:
    """Findings that belong together."""

    title: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings: software, installation, device, packs, folders, gallery."""

    sections: tuple[Section, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all sections."""
        return tuple(finding for section in self.sections for finding in section.findings)

    @property
    def healthy(self) -> bool:
        """Whether there is no problem; there may be warnings."""
        return all(finding.severity is not Severity.PROBLEM for finding in self.findings)


def examine(gallery: Path | None = None, pack: str | None = None, device: str = "auto") -> Diagnosis:
    """Examine everything that recognition needs; a section that cannot be examined says why.

    `gallery` is the gallery's file (None: the default one), `pack` the pack in use (None: the embedded one), and
    `device`, ``auto``, ``cpu`` or ``cuda``, where a small network is run.
    """
    installed = Installed.read()
    return Diagnosis(
        (
            _section("Software", lambda: list_software(installed)),
            _section("Installation", lambda: (*examine_installation(installed), *examine_imports(installed))),
            _section("Device", lambda: examine_device(device, installed)),
            _section("Packs", lambda: examine_packs(pack)),
            _section("Folders", lambda: (*examine_folders(gallery), *examine_leftovers(gallery))),
            _section("Gallery", lambda: examine_gallery(gallery, pack)),
        )
    )


def list_software(installed: Installed) -> tuple[Finding, ...]:
    """Return the versions of Python, facebank and its libraries, and the libraries that extras would add."""
    versions = [
        Finding("facebank", __version__),
        Finding("Python", f"{platform.python_version()} ({platform.system()} {platform.machine()}), {sys.executable}"),
    ]
    libraries = ((name, installed.version(name)) for name in (*CORE, *(library.name for library in OPTIONAL)))
    absent = (
        Finding(library.name, f"not installed; for {library.purpose}: {install_command(f'facebank[{library.extra}]')}")
        for library in OPTIONAL
        if library.extra is not None and installed.version(library.name) is None
    )
    return (*versions, *(Finding(name, version) for name, version in libraries if version), *absent)


def examine_imports(installed: Installed) -> tuple[Finding, ...]:
    """Import every installed library that is used; one finding for each that fails, with the command that mends it."""
    modules = {**CORE, **{library.name: library.module for library in OPTIONAL if library.module}}
    libraries = [
        (name, module, install_command("--force-reinstall", f"{name}=={version}"))
        for name, module in modules.items()
        if (version := installed.version(name))
    ]
    libraries += [
        (family.title, family.module, mend_command(family, installed))
        for family in FAMILIES
        if installed.owners(family.module)
    ]
    return tuple(
        Finding(title, f"cannot be imported: {problem}", Severity.PROBLEM, command)
        for title, module, command in libraries
        if (problem := _import_problem(module))
    )


def examine_device(device: str, installed: Installed) -> tuple[Finding, ...]:
    """Run a small network on ``auto``, ``cpu`` or ``cuda``; return the runtime's providers and where it really ran."""
    from facebank.packs import load_runtime, try_device

    try:
        providers = Finding("Execution providers", ", ".join(load_runtime().get_available_providers()))
        trial = try_device(device)
    except MissingDependencyError:
        said = "not run: there is no ONNX runtime, or only part of one; facebank[cpu] and facebank[gpu] bring one"
        return (Finding("Small network", said, Severity.PROBLEM, mend_command(RUNTIME, installed)),)
    except UsageError as error:
        return providers, Finding("Small network", f"not run: {error}", Severity.PROBLEM)
    return providers, _trial_finding(trial, providers.detail, installed)


def examine_packs(pack: str | None) -> tuple[Finding, ...]:
    """Compare the files of every installed pack, and of the pack in use, with their hashes."""
    from facebank.packs import list_packs, verify_pack

    try:
        names = [installed.name for installed in list_packs()]
        findings = [_pack_finding(verify_pack(name)) for name in names]
        if pack is not None and pack not in names:
            findings.append(_foreign_pack_finding(pack))
    except FacebankError as error:
        return (Finding("Packs", str(error), Severity.PROBLEM),)
    return tuple(findings)


def examine_gallery(gallery: Path | None, pack: str | None) -> tuple[Finding, ...]:
    """Check whether the gallery can be read and belongs to the pack in use."""
    from facebank.gallery import default_gallery_path, inspect_gallery

    path = gallery or default_gallery_path()
    label = printable(str(path))
    health = inspect_gallery(path)
    if not health.exists:
        return (Finding("Gallery", f"{label}: not there yet, the first enrollment makes it"),)
    findings = [_gallery_problem(label, problem) for problem in health.problems]
    if health.people is not None:
        said = f"{label}: {health.people} people, {health.samples} samples, {health.journal_mode} journal"
        findings.append(Finding("Gallery", said))
        findings.append(_gallery_pack_finding(path, health.pack_name, health.pack_digest, pack))
        findings += _album_findings(path)
        findings += _calibration_problems(pack)
    return tuple(findings)


def examine_folders(gallery: Path | None) -> tuple[Finding, ...]:
    """Check whether the cache, the folders of packs and calibrations, the gallery and its scan may be written."""
    from facebank.gallery import default_gallery_path

    path = default_gallery_path() if gallery is None else gallery
    return (
        _folder("Cache", cache_folder(), _CACHE_COSTS),
        _folder("Packs' folder", packs_folder(), "no pack can be installed; set FACEBANK_PACKS to another folder"),
        _folder(
            "Calibrations' folder",
            calibrations_folder(),
            "no calibration can be kept; set FACEBANK_CALIBRATIONS to another folder",
        ),
        _file(
            "Gallery's file",
            path,
            "people can be listed and identified, but nobody can be enrolled, corrected or forgotten",
            "no gallery can be made there: name another place with --gallery or FACEBANK_GALLERY",
        ),
        _file(
            "Scan's file",
            path.with_suffix(".scan"),
            "what was scanned can be asked, but nothing can be scanned, grouped or sorted",
            "no photos can be scanned: name another place with --scan-file",
        ),
    )


def examine_leftovers(gallery: Path | None) -> tuple[Finding, ...]:
    """Return a finding on files that killed runs left half-written; none if there are none."""
    found = _leftovers(gallery)
    if not found:
        return ()
    shown = ", ".join(printable(str(folder)) for folder in list(dict.fromkeys(path.parent for path in found))[:3])
    some = len({path.parent for path in found}) > 3
    many = "1 file that a killed run left" if len(found) == 1 else f"{len(found):,} files that killed runs left"
    said = f"{many} half-written, perhaps with faces or names, in {shown}{' and elsewhere' if some else ''}"
    option = () if gallery is None else ("--gallery", gallery)
    return (Finding("Leftovers", said, Severity.WARNING, shell_command(*option, "doctor", "--clean")),)


def clean(gallery: Path | None = None) -> tuple[list[Path], list[Path]]:
    """Wipe files that killed runs left half-written; return what was removed, and what could not be.

    `gallery` is the gallery's file; None for the default one.
    """
    from facebank.storage.leftovers import remove_leftovers

    return remove_leftovers(dict.fromkeys(path.parent for path in _leftovers(gallery)))


def _folder(subject: str, folder: Path, costs: str) -> Finding:
    label = printable(str(folder))
    if can_be_written(folder):
        return Finding(subject, f"{label}: may be written")
    return Finding(subject, f"{label}: may not be written, so {costs}", Severity.WARNING)


def _file(subject: str, path: Path, may_be_read: str, not_there: str) -> Finding:
    label = printable(str(path))
    if is_writable(path) if path.exists() else can_be_written(path.parent):
        return Finding(subject, f"{label}: may be written")
    said = f"may only be read: {may_be_read}" if path.exists() else f"its folder may not be written, so {not_there}"
    return Finding(subject, f"{label}: {said}", Severity.WARNING)


def _leftovers(gallery: Path | None) -> list[Path]:
    from facebank.gallery import Gallery, default_gallery_path
    from facebank.gallery.places import folders_with_leftovers
    from facebank.storage.leftovers import find_leftovers

    path = gallery or default_gallery_path()
    with contextlib.suppress(FacebankError), Gallery.open(path, read_only=True) as opened:
        return opened.leftovers()
    return [left for folder in folders_with_leftovers(path) for left in find_leftovers(folder)]


def _album_findings(path: Path) -> list[Finding]:
    """Return how many other people the album has, and whether their file is damaged; nothing if unreadable."""
    from facebank.gallery import Gallery
    from facebank.operations.identify import counted_others, other_people
    from facebank.recognition.cohort import album_people_problem

    try:
        with Gallery.open(path, read_only=True) as gallery:
            others = other_people(gallery)
            problem = album_people_problem(path, gallery.pack.digest, gallery.pack.dimension)
    except FacebankError:  # another finding says so
        return []
    findings = [Finding("Album", f"your album: {counted_others(others)}")]
    return findings if problem is None else [*findings, Finding("Album", problem, Severity.WARNING)]


def _gallery_problem(label: str, problem: str) -> Finding:
    command = _QUOTED_COMMAND.search(problem)
    return Finding("Gallery", f"{label}: {problem}", Severity.PROBLEM, command[1] if command else None)


def _section(title: str, examine_it: Callable[[], tuple[Finding, ...]]) -> Section:
    try:
        return Section(title, examine_it())
    except ImportError as error:
        what = f"not looked at: {_first_line(error)}, see Installation"
    except Exception as error:  # noqa: BLE001 - the other sections are examined all the same
        what = f"not looked at: {_first_line(error)}"
    return Section(title, (Finding(title, what, Severity.PROBLEM),))


def _trial_finding(trial: DeviceTrial, providers: str, installed: Installed) -> Finding:
    said = f"asked for {trial.asked}, ran on: {', '.join(sorted(trial.ran_on)) or 'nothing'}"
    wants_cuda = trial.asked == "cuda" or (trial.asked == "auto" and "CUDAExecutionProvider" in providers)
    if wants_cuda and trial.ran_on != {"cuda"}:
        problem = _cuda_problem(said, trial.problem, installed)
        return replace(problem, severity=Severity.WARNING) if trial.asked == "auto" and trial.ran_on else problem
    if not trial.ran_on:
        return Finding("Small network", f"{said}: {trial.problem}", Severity.PROBLEM)
    return Finding("Small network", said)


def _cuda_problem(said: str, reason: str | None, installed: Installed) -> Finding:
    """Return why CUDA does not work, as far as can be found out."""
    subject = "Small network"
    runtimes = installed.owners("onnxruntime")
    majors = [major for name in runtimes if (major := installed.cuda_major(name)) is not None]
    if not majors:
        command = replace_command([*runtimes, *installed.owners("faiss")], install_command("facebank[gpu]"))
        return Finding(subject, f"{said}; {', '.join(runtimes)} is not built for CUDA", Severity.PROBLEM, command)
    said = f"{said}: {reason}" if reason else said
    if sys.platform == "linux":
        if not _loads("libcuda.so.1"):
            said = f"{said}; no NVIDIA driver is installed (nvidia-smi must work); until then use --device cpu"
            return Finding(subject, said, Severity.PROBLEM)
        wanted = (f"libcudart.so.{majors[0]}", f"libcublas.so.{majors[0]}", "libcudnn.so.9")
        missing = [library for library in wanted if not _loads(library)]
        if missing:
            said = f"{said}; these libraries are missing: {', '.join(missing)}"
    return Finding(subject, said, Severity.PROBLEM, install_command("--upgrade", "facebank[gpu]"))


def _import_problem(module: str) -> str | None:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # OpenCV prints what it lacks
            keep_plots_out_of_home()
            importlib.import_module(module)
    except Exception as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        return _first_line(error)
    return None


def _first_line(error: Exception) -> str:
    return printable(next(iter(str(error).strip().splitlines()), type(error).__name__))


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _pack_finding(health: PackHealth) -> Finding:
    pack = health.pack
    name = printable(pack.name)
    if health.ok and pack.manifest:
        return Finding(f"Pack {name}", f"{pack.manifest.version}, {len(health.files)} files as published")
    broken = ", ".join(f"{file} is {state}" for file, state in health.files.items() if state != "ok")
    return Finding(f"Pack {name}", pack.problem or broken, Severity.PROBLEM, _pack_command(pack.name, pack.embedded))


def _pack_command(name: str, embedded: bool) -> str | None:
    from facebank.packs import known_packs

    if embedded:
        return install_command("--force-reinstall", "--no-deps", "facebank")
    if name in known_packs():
        return f"{shell_command('packs', 'remove', name)} && {shell_command('packs', 'install', name)}"
    return shell_command("packs", "remove", name)


def _foreign_pack_finding(pack: str) -> Finding:
    """Examine a pack that is used from its folder."""
    from facebank.packs import FileState, file_state, load_pack
    from facebank.vision.insightface_adapter import PREFIX, open_package

    subject = f"Pack {printable(pack)}"
    try:
        if pack.startswith(PREFIX):
            package = open_package(pack)
            said = f"run by the insightface library, calibrated on {package.thresholds.calibrated_on}"
            return Finding(subject, said, Severity.WARNING)
        loaded = load_pack(pack)
    except FacebankError as error:
        return Finding(subject, str(error), Severity.PROBLEM, "facebank packs list")
    states = {file: file_state(loaded.folder / file, sha256) for file, sha256 in loaded.manifest.files.items()}
    broken = ", ".join(f"{file} is {state}" for file, state in states.items() if state is not FileState.OK)
    if broken:
        return Finding(subject, broken, Severity.PROBLEM)
    return Finding(subject, f"{loaded.manifest.version}, {len(states)} files as published")


def _gallery_pack_finding(path: Path, made_by: str | None, digest: str | None, pack: str | None) -> Finding:
    try:
        name, in_use = _pack_identity(pack)
    except FacebankError as error:
        return Finding("Gallery's pack", f"cannot be compared: {error}", Severity.WARNING)
    if digest in (in_use, None):
        return Finding("Gallery's pack", name)
    option = () if pack is None else ("--pack", pack)
    return Finding(
        "Gallery's pack",
        f"its embeddings were made by the pack {printable(made_by or '?')}, in use is {printable(name)}: "
        "use that pack with --pack, or make the embeddings again from the photographs",
        Severity.PROBLEM,
        shell_command("--gallery", path, *option, "people", "re-embed"),
    )


def _calibration_problems(pack: str | None) -> Iterator[Finding]:
    """Yield a finding on a calibration that cannot be used: until it is mended, nobody is identified."""
    from facebank.gallery import PackIdentity
    from facebank.packs import load_pack
    from facebank.recognition.calibration.files import find_knowledge

    try:
        loaded = load_pack(pack)
    except FacebankError:
        return  # the packs' findings say so
    identity = PackIdentity(loaded.name, loaded.digest, loaded.manifest.embedder.dimension)
    try:
        find_knowledge(identity, loaded.folder)
    except FacebankError as error:
        yield Finding("Calibration", str(error), Severity.PROBLEM)


def _pack_identity(pack: str | None) -> tuple[str, str]:
    from facebank.packs import load_pack
    from facebank.vision.insightface_adapter import PREFIX, open_package

    if pack is not None and pack.startswith(PREFIX):
        package = open_package(pack)
        return package.name, package.digest
    loaded = load_pack(pack)
    return loaded.name, loaded.digest
