"""``facebank packs``: lists, installs, verifies and removes packs of networks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facebank.storage.text import shell_command

from . import calibrate
from .exit_codes import NOTHING_DONE
from .help_layout import CommandApp
from .options import AsJson, example
from .output import is_interactive, say, write_json, write_line, write_table
from .progress import DownloadBar

if TYPE_CHECKING:
    from facebank.packs import DataTerms, Pack, PackEntry, PackHealth, Thresholds

BROKEN = 1

AcceptLicense = Annotated[bool, typer.Option("--accept-license", help="Accept the pack's license.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    packs = CommandApp(
        help="List, install, verify, calibrate and remove packs.\n\n"
        "A pack is a detector and an embedder, ONNX networks, with their thresholds, calibration and license.",
        no_args_is_help=True,
        epilog=example("packs list"),
    )
    packs.command("list", epilog=example("packs list"))(list_)
    packs.command("show", epilog=example("packs show buffalo_l"))(show)
    packs.command("install", epilog=example("packs install buffalo_l --accept-license", "packs install my-pack.zip"))(
        install
    )
    packs.command("add", epilog=example("packs add my-pack"))(add)
    packs.command("verify", epilog=example("packs verify", "packs verify buffalo_l"))(verify)
    packs.command("remove", epilog=example("packs remove buffalo_l"))(remove)
    calibrate.register(packs)
    app.add_typer(packs, name="packs")


def list_(as_json: AsJson = False) -> int:
    """List the installed packs, and those to install by name."""
    from facebank.packs import catalog

    packs = catalog()
    if as_json:
        for pack in packs:
            write_json(_summary_record(pack))
        return 0
    columns = ("name", "installed", "description", "license", "trained on", "commercial use")
    write_table(columns, [_row(pack) for pack in packs], {"no": "dim", "broken": "bold red"})
    say("commercial use is 'allowed' only if both the license and the terms of the training data are known to allow it")
    return 0


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A pack of 'facebank packs list'.", show_default=False)],
    as_json: AsJson = False,
) -> int:
    """Show a pack: source, license, files and calibration.

    Terms of the training data, hashes and thresholds are shown, too. Exit code 1 if the pack or its calibration is
    damaged.
    """
    from facebank.packs import find_pack

    pack = find_pack(name)
    record, calibration = _pack_record(pack), _calibration_record(pack)
    if as_json:
        write_json({**record, "calibrated": calibration})
    else:
        for key, value in record.items():
            _print_field(key, value)
            if key == "commercial_use" and value is None and pack.manifest is not None:
                stated = pack.manifest.training_data is not None
                reason = (
                    "the terms of the training data may not" if stated else "pack.toml does not name the training data"
                )
                _print_field(key, f"not known: the license allows it, but {reason}")
        if calibration is not None:
            _print_field("calibrated", _describe_calibration(calibration))
    return BROKEN if pack.problem or (calibration is not None and calibration["problem"]) else 0


def install(
    source: Annotated[
        str,
        typer.Argument(
            metavar="NAME|URL|ZIP",
            help="A pack of 'facebank packs list', an https URL, or a zip file.",
            show_default=False,
        ),
    ],
    accept_license: AcceptLicense = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an installed pack of this name.")] = False,
    as_json: AsJson = False,
) -> int:
    """Install a pack by name, from a URL or a zip file.

    Its license is shown and must be accepted once.
    """
    from facebank.errors import LicenceNotAcceptedError
    from facebank.packs import license_notice
    from facebank.packs.install import install_pack

    with DownloadBar(writes_lines=as_json) as bar:
        try:
            pack = install_pack(source, accept_license=accept_license, replace=replace, progress=bar)
        except LicenceNotAcceptedError as error:
            if not is_interactive():
                raise
            license_error = error
        else:
            say(license_notice(pack.manifest))
            return _print_installed(pack, as_json)
    say(str(license_error))
    if not typer.confirm("Do you accept this license?", err=True):
        say("nothing was installed")
        return NOTHING_DONE
    with DownloadBar(writes_lines=as_json) as bar:
        pack = install_pack(source, accept_license=True, replace=replace, progress=bar)
    return _print_installed(pack, as_json)


def add(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder with a pack.toml and its ONNX files.", show_default=False)
    ],
    replace: Annotated[bool, typer.Option("--replace", help="Replace an installed pack of this name.")] = False,
    as_json: AsJson = False,
) -> int:
    """Install a pack of your own from a folder."""
    from facebank.packs import add_pack

    return _print_installed(add_pack(folder, replace=replace), as_json)


def verify(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="An installed pack. Default: all.")] = None,
    as_json: AsJson = False,
) -> int:
    """Compare the files of installed packs with their hashes.

    Exit code 1 if a file is missing or altered.
    """
    from facebank.packs import list_packs, verify_pack

    names = [name] if name else [pack.name for pack in list_packs()]
    checks = list(map(verify_pack, names))
    for health in checks:
        if as_json:
            write_json(_health_record(health))
        else:
            _print_health(health)
    return 0 if all(health.is_ok for health in checks) else BROKEN


def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An installed pack.", show_default=False)],
    as_json: AsJson = False,
) -> int:
    """Delete an installed pack."""
    from facebank.packs import remove_pack

    remove_pack(name)
    if as_json:
        write_json({"name": name, "removed": True})
    else:
        write_line(f"the pack {name} is removed")
    return 0


def _summary_record(pack: PackEntry) -> dict[str, object]:
    manifest = pack.manifest
    return {
        "name": pack.name,
        "installed": pack.is_installed,
        "embedded": pack.is_embedded,
        "title": manifest.title if manifest else None,
        "version": manifest.version if manifest else None,
        "licence": manifest.license if manifest else None,
        "commercial_use": manifest.allows_commercial_use if manifest else None,
        "licence_commercial_use": manifest.commercial_use if manifest else None,
        "training_data": _terms_record(manifest.training_data) if manifest else None,
        "fitted_data": _terms_record(manifest.fitted_data) if manifest else None,
        "problem": pack.problem,
    }


def _pack_record(pack: PackEntry) -> dict[str, object]:
    manifest = pack.manifest
    return {
        **_summary_record(pack),
        "folder": str(pack.folder) if pack.folder else None,
        "licence_url": manifest.license_url if manifest else None,
        "source": manifest.source if manifest else None,
        "detector": manifest.detector.kind if manifest else None,
        "dimension": manifest.embedder.dimension if manifest else None,
        "files": [{"name": name, "sha256": sha256} for name, sha256 in manifest.files.items()] if manifest else None,
        "thresholds": _thresholds_record(manifest.thresholds) if manifest else None,
    }


def _terms_record(terms: DataTerms | None) -> dict[str, object] | None:
    return None if terms is None else asdict(terms)


def _thresholds_record(thresholds: Thresholds) -> dict[str, object]:
    return {
        "known": thresholds.known,
        "margin": thresholds.margin,
        "verify": thresholds.verify,
        "minimum_quality": thresholds.minimum_quality,
        "calibrated_on": thresholds.calibrated_on,
    }


def _calibration_record(pack: PackEntry) -> dict[str, Any] | None:
    """Return the state and origin of a pack's calibration; None if its manifest is invalid."""
    from facebank.errors import PackIntegrityError
    from facebank.gallery import PackIdentity
    from facebank.recognition.calibration.files import find_pack_calibration, user_folder

    if pack.manifest is None:
        return None
    identity = PackIdentity(pack.name, pack.manifest.digest, pack.manifest.embedder.dimension)
    try:
        stored = find_pack_calibration(identity, pack.folder)
    except PackIntegrityError as error:
        return {**_UNCALIBRATED, "state": "damaged", "problem": str(error)}
    if stored.calibration is None or stored.folder is None:
        return _UNCALIBRATED
    return {
        "state": "own" if stored.folder == user_folder(identity) else "pack",
        "classifiers": [calibrator.classifier for calibrator in stored.calibration.calibrators],
        "made_from": stored.calibration.made_from,
        "people": stored.calibration.people,
        "photos": stored.calibration.photos,
        "folder": str(stored.folder),
        "problem": None,
    }


_UNCALIBRATED: dict[str, Any] = {
    "state": "uncalibrated",
    "classifiers": [],
    "made_from": None,
    "people": None,
    "photos": None,
    "folder": None,
    "problem": None,
}


def _describe_calibration(calibration: dict[str, Any]) -> str:
    if calibration["problem"]:
        return str(calibration["problem"])
    if calibration["state"] == "uncalibrated":
        return "uncalibrated, so decisions have no probabilities; calibrate it with 'facebank packs calibrate'"
    owner = "your own" if calibration["state"] == "own" else "with the pack"
    origin = f"{calibration['people']} people, {calibration['photos']} photos: {calibration['made_from']}"
    return f"for {', '.join(calibration['classifiers'])}; {owner}, in {calibration['folder']}; {origin}"


def _row(pack: PackEntry) -> tuple[str, ...]:
    if pack.problem or pack.manifest is None:
        return pack.name, "broken", pack.problem or "", "", "", ""
    from facebank.packs import commercial_use

    installed = "with facebank" if pack.is_embedded else "yes" if pack.is_installed else "no"
    manifest = pack.manifest
    data = manifest.training_data.name if manifest.training_data else "not stated"
    return pack.name, installed, manifest.title, manifest.license, data, commercial_use(manifest)


def _print_field(key: str, value: object) -> None:
    title = key.replace("_", " ").replace("licence", "license")
    if isinstance(value, dict):
        for subkey, subvalue in value.items():
            _print_field(f"{key} {subkey}", subvalue)
    elif isinstance(value, list):
        for file in value:
            write_line(f"{'file':<30}{file['name']}  sha256 {file['sha256']}")
    elif value is not None:
        write_line(f"{title:<30}{_value_text(value)}")


def _value_text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _print_installed(pack: Pack, as_json: bool) -> int:
    if as_json:
        write_json({"name": pack.name, "version": pack.manifest.version, "folder": str(pack.folder)})
    else:
        write_line(f"the pack {pack.name} {pack.manifest.version} is installed: {pack.folder}")
        command = shell_command("--pack", pack.name, "--gallery", "NEW.facebank", "enroll")
        write_line(f"use it for a new gallery with: {command} ...")
    return 0


def _health_record(health: PackHealth) -> dict[str, object]:
    return {
        "name": health.pack.name,
        "ok": health.is_ok,
        "problem": health.pack.problem,
        "files": [{"name": file, "state": state.value} for file, state in health.files.items()],
    }


def _print_health(health: PackHealth) -> None:
    if health.pack.problem:
        write_line(f"{health.pack.name}: {health.pack.problem}")
    for file, state in health.files.items():
        write_line(f"{health.pack.name}: {file} is {state.value}")
