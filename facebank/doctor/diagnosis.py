"""Diagnosis of software, device, packs, folders and gallery, with commands that repair faults."""

from __future__ import annotations

import contextlib
import importlib
import io
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank import __version__
from facebank.doctor.devices import examine_device
from facebank.doctor.installation import (
    CORE,
    FAMILIES,
    OPTIONAL,
    InstallationFinding,
    InstalledDistributions,
    Severity,
    examine_installation,
    install_command,
    repair_command,
)
from facebank.errors import FacebankError, was_interrupted
from facebank.storage.connections import is_writable
from facebank.storage.paths import (
    cache_folder,
    calibrations_folder,
    can_be_written,
    packs_folder,
    set_matplotlib_cache,
)
from facebank.storage.text import error_line, pluralize, printable, shell_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from facebank.packs import PackHealth

_QUOTED_COMMAND = re.compile(r"`([^`]+)`|'(facebank [^']+)'")
_WITHOUT_CACHE = (
    "every run prepares networks, fits classifiers and indexes large galleries again, 'facebank bench' embeds all "
    "photos again, and scores are not corrected by the people of later scans; set FACEBANK_CACHE to a writable folder"
)


@dataclass(frozen=True, slots=True)
class DiagnosisSection:
    """Findings on one topic."""

    title: str
    findings: tuple[InstallationFinding, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings by section: software, installation, device, packs, folders, gallery."""

    sections: tuple[DiagnosisSection, ...]

    @property
    def findings(self) -> tuple[InstallationFinding, ...]:
        """The findings of all sections."""
        return tuple(finding for section in self.sections for finding in section.findings)

    @property
    def healthy(self) -> bool:
        """Whether no finding is a problem; warnings are allowed."""
        return all(finding.severity is not Severity.PROBLEM for finding in self.findings)


def examine(gallery: Path | None = None, pack: str | None = None, device: str = "auto") -> Diagnosis:
    """Return the findings about the installation; a section that fails has a finding with the error.

    `gallery` is the path of the gallery (None: the default one), `pack` the pack in use (None: the embedded one), and
    `device` (``auto``, ``cpu`` or ``cuda``) the device that runs a small test network.
    """
    installed = InstalledDistributions.read()
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


def list_software(installed: InstalledDistributions) -> tuple[InstallationFinding, ...]:
    """Return the versions of Python, facebank and its libraries, and the optional libraries not installed."""
    versions = [
        InstallationFinding("facebank", __version__),
        InstallationFinding(
            "Python", f"{platform.python_version()} ({platform.system()} {platform.machine()}), {sys.executable}"
        ),
    ]
    libraries = ((name, installed.version(name)) for name in (*CORE, *(library.name for library in OPTIONAL)))
    absent = (
        InstallationFinding(
            library.name, f"not installed; for {library.purpose}: {install_command(f'facebank[{library.extra}]')}"
        )
        for library in OPTIONAL
        if library.extra is not None and installed.version(library.name) is None
    )
    return (*versions, *(InstallationFinding(name, version) for name, version in libraries if version), *absent)


def examine_imports(installed: InstalledDistributions) -> tuple[InstallationFinding, ...]:
    """Import every installed library; return a finding with a repair command for each failure."""
    modules = {**CORE, **{library.name: library.module for library in OPTIONAL if library.module}}
    libraries = [
        (name, module, install_command("--force-reinstall", f"{name}=={version}"))
        for name, module in modules.items()
        if (version := installed.version(name))
    ]
    libraries += [
        (family.title, family.module, repair_command(family, installed))
        for family in FAMILIES
        if installed.owners(family.module)
    ]
    return tuple(
        InstallationFinding(title, f"cannot be imported: {problem}", Severity.PROBLEM, command)
        for title, module, command in libraries
        if (problem := _import_problem(module))
    )


def examine_packs(pack: str | None) -> tuple[InstallationFinding, ...]:
    """Return the findings about the files of all installed packs and of the pack in use, verified by their hashes."""
    from facebank.packs import list_packs, verify_pack

    try:
        names = [installed.name for installed in list_packs()]
        findings = [_pack_finding(verify_pack(name)) for name in names]
        if pack is not None and pack not in names:
            findings.append(_pack_folder_finding(pack))
    except FacebankError as error:
        return (InstallationFinding("Packs", str(error), Severity.PROBLEM),)
    return tuple(findings)


def examine_gallery(gallery: Path | None, pack: str | None) -> tuple[InstallationFinding, ...]:
    """Return the findings about the gallery: whether it is readable and belongs to the pack in use."""
    from facebank.gallery import default_gallery_path, inspect_gallery

    path = gallery or default_gallery_path()
    label = printable(str(path))
    health = inspect_gallery(path)
    if not health.exists:
        return (InstallationFinding("Gallery", f"{label}: does not exist yet; created by the first enrollment"),)
    findings = [_gallery_problem(label, problem) for problem in health.problems]
    if health.person_count is not None and health.sample_count is not None:
        counts = f"{pluralize(health.person_count, 'person', 'people')}, {pluralize(health.sample_count, 'sample')}"
        findings.append(InstallationFinding("Gallery", f"{label}: {counts}, {health.journal_mode} journal"))
        findings.append(_gallery_pack_finding(path, health.pack_name, health.pack_digest, pack))
        findings += _album_findings(path)
        findings += _mirror_findings(path)
        findings += _calibration_problems(pack)
    return tuple(findings)


def examine_folders(gallery: Path | None) -> tuple[InstallationFinding, ...]:
    """Return the findings about cache, pack folder, calibration folder, gallery and scan: whether they are writable."""
    from facebank.gallery import default_gallery_path

    path = default_gallery_path() if gallery is None else gallery
    return (
        _folder_finding("Cache", cache_folder(), _WITHOUT_CACHE),
        _folder_finding(
            "Packs' folder", packs_folder(), "packs cannot be installed; set FACEBANK_PACKS to a writable folder"
        ),
        _folder_finding(
            "Calibrations' folder",
            calibrations_folder(),
            "calibrations cannot be stored; set FACEBANK_CALIBRATIONS to a writable folder",
        ),
        _file_finding(
            "Gallery's file",
            path,
            "people can be listed and identified, but not enrolled, corrected or forgotten",
            "a gallery cannot be created there; choose another path with --gallery or FACEBANK_GALLERY",
        ),
        _file_finding(
            "Scan's file",
            path.with_suffix(".scan"),
            "the scan can be searched, but not updated, grouped or sorted",
            "photos cannot be scanned; choose another path with --scan-file",
        ),
    )


def examine_leftovers(gallery: Path | None) -> tuple[InstallationFinding, ...]:
    """Return a finding on incomplete files left by killed runs, if there are any."""
    paths = _leftovers(gallery)
    if not paths:
        return ()
    folders = list(dict.fromkeys(path.parent for path in paths))
    folder_names = ", ".join(printable(str(folder)) for folder in folders[:3]) + " and other folders" * (
        len(folders) > 3
    )
    count = pluralize(len(paths), "incomplete file")
    detail = f"{count} of killed runs, possibly with faces or names, in {folder_names}"
    option = () if gallery is None else ("--gallery", gallery)
    return (InstallationFinding("Leftovers", detail, Severity.WARNING, shell_command(*option, "doctor", "--clean")),)


def clean(gallery: Path | None = None) -> tuple[list[Path], list[Path]]:
    """Wipe incomplete files of killed runs; return the removed paths, and those that could not be removed.

    `gallery` is the path of the gallery; None for the default one.
    """
    from facebank.storage.leftovers import remove_leftovers

    return remove_leftovers(dict.fromkeys(path.parent for path in _leftovers(gallery)))


def _folder_finding(subject: str, folder: Path, consequence: str) -> InstallationFinding:
    label = printable(str(folder))
    if can_be_written(folder):
        return InstallationFinding(subject, f"{label}: writable")
    return InstallationFinding(subject, f"{label}: not writable, so {consequence}", Severity.WARNING)


def _file_finding(subject: str, path: Path, read_only: str, not_creatable: str) -> InstallationFinding:
    label = printable(str(path))
    if is_writable(path) if path.exists() else can_be_written(path.parent):
        return InstallationFinding(subject, f"{label}: writable")
    detail = f"read-only: {read_only}" if path.exists() else f"its folder is not writable, so {not_creatable}"
    return InstallationFinding(subject, f"{label}: {detail}", Severity.WARNING)


def _leftovers(gallery: Path | None) -> list[Path]:
    from facebank.gallery import Gallery, default_gallery_path
    from facebank.gallery.places import folders_with_leftovers
    from facebank.storage.leftovers import find_leftovers

    path = gallery or default_gallery_path()
    with contextlib.suppress(FacebankError), Gallery.open(path, read_only=True) as opened:
        return opened.leftovers()
    return [leftover for folder in folders_with_leftovers(path) for leftover in find_leftovers(folder)]


def _album_findings(path: Path) -> list[InstallationFinding]:
    """Return findings on the other people of the album and their file; empty if the gallery is unreadable."""
    from facebank.gallery import Gallery
    from facebank.operations.identify import count_in_words, count_other_people
    from facebank.recognition.cohort_file import album_people_problem

    try:
        with Gallery.open(path, read_only=True) as gallery:
            others = count_other_people(gallery)
            problem = album_people_problem(path, gallery.pack.digest, gallery.pack.dimension)
    except FacebankError:  # reported by another finding
        return []
    findings = [InstallationFinding("Album", f"your album: {count_in_words(others)}")]
    return findings if problem is None else [*findings, InstallationFinding("Album", problem, Severity.WARNING)]


def _mirror_findings(path: Path) -> list[InstallationFinding]:
    """Return a finding for each index outside of the gallery in which people are searched."""
    from facebank.gallery import Gallery

    try:
        with Gallery.open(path, read_only=True) as gallery:
            records, revision = gallery.mirrors(), gallery.revision
    except FacebankError:
        return []  # the gallery has its own finding
    findings = []
    for record in records:
        if record.needs_cleaning:
            state = "may still hold embeddings of what was removed"
            command = shell_command("--gallery", str(path), "--index", record.address, "people", "check")
            findings.append(InstallationFinding("Mirror", f"{record.address}: {state}", Severity.WARNING, command))
        else:
            is_behind = record.is_behind(revision)
            state = "is brought up to date by the next command with --index" if is_behind else "is up to date"
            findings.append(InstallationFinding("Mirror", f"{record.address}: {state}"))
    return findings


def _gallery_problem(label: str, problem: str) -> InstallationFinding:
    command = _QUOTED_COMMAND.search(problem)
    return InstallationFinding(
        "Gallery", f"{label}: {problem}", Severity.PROBLEM, command[1] or command[2] if command else None
    )


def _section(title: str, examine_section: Callable[[], tuple[InstallationFinding, ...]]) -> DiagnosisSection:
    try:
        return DiagnosisSection(title, examine_section())
    except ImportError as error:
        detail = f"not examined: {error_line(error)}, see Installation"
    except Exception as error:  # noqa: BLE001 - the other sections must still be examined
        detail = f"not examined: {error_line(error)}"
    return DiagnosisSection(title, (InstallationFinding(title, detail, Severity.PROBLEM),))


def _import_problem(module: str) -> str | None:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # OpenCV prints missing libraries
            set_matplotlib_cache()
            importlib.import_module(module)
    except Exception as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        return error_line(error)
    return None


def _pack_finding(health: PackHealth) -> InstallationFinding:
    pack = health.pack
    name = printable(pack.name)
    if health.is_ok and pack.manifest:
        return InstallationFinding(
            f"Pack {name}", f"{pack.manifest.version}, {len(health.files)} files match the hashes in pack.toml"
        )
    broken = ", ".join(f"{file} is {state}" for file, state in health.files.items() if state != "ok")
    return InstallationFinding(
        f"Pack {name}", pack.problem or broken, Severity.PROBLEM, _pack_command(pack.name, pack.is_embedded)
    )


def _pack_command(name: str, embedded: bool) -> str | None:
    from facebank.packs import known_packs

    if embedded:
        return install_command("--force-reinstall", "--no-deps", "facebank")
    if name in known_packs():
        return f"{shell_command('packs', 'remove', name)} && {shell_command('packs', 'install', name)}"
    return shell_command("packs", "remove", name)


def _pack_folder_finding(pack: str) -> InstallationFinding:
    """Return a finding on a pack that is used from its folder, or run by the insightface library."""
    from facebank.packs import FileState, file_state, load_pack
    from facebank.vision.insightface_adapter import PREFIX, open_package

    subject = f"Pack {printable(pack)}"
    try:
        if pack.startswith(PREFIX):
            package = open_package(pack)
            detail = f"run by the insightface library; thresholds calibrated on: {package.thresholds.calibrated_on}"
            return InstallationFinding(subject, detail, Severity.WARNING)
        loaded = load_pack(pack)
    except FacebankError as error:
        return InstallationFinding(subject, str(error), Severity.PROBLEM, "facebank packs list")
    states = {file: file_state(loaded.folder / file, sha256) for file, sha256 in loaded.manifest.files.items()}
    broken = ", ".join(f"{file} is {state}" for file, state in states.items() if state is not FileState.OK)
    if broken:
        return InstallationFinding(subject, broken, Severity.PROBLEM)
    return InstallationFinding(subject, f"{loaded.manifest.version}, {len(states)} files match the hashes in pack.toml")


def _gallery_pack_finding(
    path: Path, pack_name: str | None, digest: str | None, pack: str | None
) -> InstallationFinding:
    try:
        name, in_use = _pack_identity(pack)
    except FacebankError as error:
        return InstallationFinding("Gallery's pack", f"cannot be compared: {error}", Severity.WARNING)
    if digest in (in_use, None):
        return InstallationFinding("Gallery's pack", name)
    option = () if pack is None else ("--pack", pack)
    return InstallationFinding(
        "Gallery's pack",
        f"its embeddings were made by the pack {printable(pack_name or '?')}, but {printable(name)} is in use; pass "
        "that pack with --pack, or compute the embeddings again from the photos",
        Severity.PROBLEM,
        shell_command("--gallery", path, *option, "people", "re-embed"),
    )


def _calibration_problems(pack: str | None) -> Iterator[InstallationFinding]:
    """Yield a finding on a calibration that cannot be used, which prevents identification."""
    from facebank.gallery import PackIdentity
    from facebank.packs import load_pack
    from facebank.recognition.calibration.files import find_pack_calibration

    try:
        loaded = load_pack(pack)
    except FacebankError:
        return  # reported by the section Packs
    identity = PackIdentity(loaded.name, loaded.digest, loaded.manifest.embedder.dimension)
    try:
        find_pack_calibration(identity, loaded.folder)
    except FacebankError as error:
        yield InstallationFinding("Calibration", str(error), Severity.PROBLEM)


def _pack_identity(pack: str | None) -> tuple[str, str]:
    from facebank.packs import load_pack
    from facebank.vision.insightface_adapter import PREFIX, open_package

    if pack is not None and pack.startswith(PREFIX):
        package = open_package(pack)
        return package.name, package.digest
    loaded = load_pack(pack)
    return loaded.name, loaded.digest
