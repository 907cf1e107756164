"""Installed distributions and their conflicts, from package metadata; nothing is imported.

``onnxruntime`` and ``onnxruntime-gpu`` install into the same folder, and so do the FAISS and the OpenCV packages: the
last one installed overwrites the others, and removing one breaks them. Findings include the command that repairs this.
"""

from __future__ import annotations

import csv
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path, PurePosixPath

from facebank.storage.text import shell_word

CORE = {
    "numpy": "numpy",
    "onnx": "onnx",
    "Pillow": "PIL.Image",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "matplotlib": "matplotlib",
    "typer": "typer",
    "platformdirs": "platformdirs",
}
"""Required libraries with a single distribution, and the module to import of each."""


class Severity(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class InstallationFinding:
    """Result of a check."""

    subject: str  # what was checked
    detail: str  # the result in one line
    severity: Severity = Severity.OK
    command: str | None = None  # shell command that repairs it; None if there is none or nothing to repair


@dataclass(frozen=True, slots=True)
class OptionalLibrary:
    """A distribution that is required by some features only.

    Attributes
    ----------
    name
        Name of the distribution.
    purpose
        The features that need it, as shown in findings.
    module
        Module whose import is tested; None if importing it is slow.
    extra
        Extra of facebank that installs it; None if another library does.
    """

    name: str
    module: str | None
    extra: str | None
    purpose: str


OPTIONAL = (
    OptionalLibrary("rich", "rich.table", None, "tables and progress on a terminal"),
    OptionalLibrary("pillow-heif", "pillow_heif", "heif", "HEIC and HEIF photos"),
    OptionalLibrary("lxml", "lxml.etree", "xmp", "names in photos, in XMP: facebank tags, and sidecars"),
    OptionalLibrary("paho-mqtt", "paho.mqtt.client", "mqtt", "facebank watch --mqtt: publishing events to a broker"),
    OptionalLibrary("fastapi", "fastapi", "serve", "facebank serve: the page and the HTTP service"),
    OptionalLibrary("uvicorn", "uvicorn", "serve", "facebank serve: its server"),
    OptionalLibrary("jinja2", "jinja2", "serve", "facebank serve: its page"),
    OptionalLibrary("python-multipart", "python_multipart", "serve", "facebank serve: photos in forms"),
    OptionalLibrary("prometheus-client", "prometheus_client", "serve", "facebank serve: its metrics"),
    OptionalLibrary("openvino", None, "openvino", "faster inference on some processors"),
    OptionalLibrary("pymilvus", None, "milvus", "searching people on a Milvus server: --index milvus://HOST:PORT/NAME"),
    OptionalLibrary("milvus-lite", None, "milvus", "searching people in a file of Milvus Lite, for trials"),
    OptionalLibrary("pyarrow", "pyarrow.parquet", "cluster", "scans in Parquet shards, and faces as Arrow tables"),
    OptionalLibrary("ray", None, "cluster", "scans on several machines"),
    OptionalLibrary("aiobotocore", None, "buckets", "photos in buckets of S3, with s3fs"),
    OptionalLibrary("s3fs", None, "buckets", "photos in buckets of S3: facebank scan s3://BUCKET/FOLDER"),
    OptionalLibrary(
        "gcsfs", None, "buckets", "photos in buckets of Google Cloud Storage: facebank scan gs://BUCKET/FOLDER"
    ),
    OptionalLibrary("insightface", None, "insightface", "packs that the insightface library runs"),
)
"""Optional libraries, including those of all extras."""


@dataclass(frozen=True, slots=True)
class Family:
    """Distributions with the same import package, of which exactly one may be installed."""

    module: str  # the import package
    title: str  # the name of the library, as shown in findings
    requirement: str  # installs one of the distributions
    preferred: str | None = None  # the distribution to keep of several; None for one for GPUs


RUNTIME = Family("onnxruntime", "ONNX Runtime", "facebank[cpu]")
FAISS = Family("faiss", "FAISS", "facebank[cpu]")
OPENCV = Family("cv2", "OpenCV", "opencv-python-headless", preferred="opencv-python-headless")
FAMILIES = (RUNTIME, FAISS, OPENCV)

_CUDA_REQUIREMENT = re.compile(r"nvidia-[a-z-]+-cu(\d+)\b")


@dataclass(frozen=True, slots=True)
class InstalledDistributions:
    """Distributions of a Python environment, by normalized name (lower case, dashes)."""

    distributions: dict[str, metadata.Distribution]

    @classmethod
    def read(cls, path: Sequence[str] | None = None) -> InstalledDistributions:
        """Read the metadata in the folders of `path` (None: ``sys.path``)."""
        by_name: dict[str, metadata.Distribution] = {}
        for distribution in metadata.distributions(path=list(sys.path if path is None else path)):
            name = _name(distribution)
            if name:
                by_name.setdefault(_normalize(name), distribution)
        return cls(by_name)

    def version(self, name: str) -> str | None:
        """Return the version of a distribution, None if it is not installed."""
        distribution = self.distributions.get(_normalize(name))
        return distribution.version if distribution else None

    def owners(self, module: str) -> list[str]:
        """Return the names of the distributions that install an import package, sorted."""
        return sorted(name for name, distribution in self.distributions.items() if _owns(distribution, module))

    def cuda_major(self, name: str) -> int | None:
        """Return the CUDA major version that a distribution requires, None if it does not state one."""
        requirements = self.distributions[name].requires or []
        majors = {int(match[1]) for text in requirements if (match := _CUDA_REQUIREMENT.match(text.lower()))}
        return max(majors, default=None)

    def missing_files(self, name: str, module: str) -> int:
        """Return the number of missing files of an import package that a distribution installed."""
        distribution = self.distributions[name]
        # distribution.files omits missing files from Python 3.12 on.
        recorded = (PurePosixPath(row[0]) for row in csv.reader(_read_record(distribution).splitlines()) if row)
        files = [file for file in recorded if file.parts[:1] == (module,) and file.suffix != ".pyc"]
        return sum(not Path(str(distribution.locate_file(file))).exists() for file in files)


def examine_installation(installed: InstalledDistributions) -> tuple[InstallationFinding, ...]:
    """Return findings on missing, duplicate or conflicting distributions, with repair commands."""
    findings = [_examine_family(family, installed) for family in FAMILIES]
    findings += _examine_cuda(installed)
    findings += _examine_core(installed)
    return tuple(findings)


def python_command() -> str:
    """Return the command for this Python: ``python`` if that resolves to it, else its path."""
    resolved = shutil.which("python")
    if resolved and Path(resolved).absolute() == Path(sys.executable).absolute():
        return "python"
    return shell_word(sys.executable)


def install_command(*requirements: str) -> str:
    """Return the command that installs requirements into this environment."""
    return " ".join([python_command(), "-m pip install", *map(shell_word, requirements)])


def replace_command(remove: Iterable[str], install: str) -> str:
    """Return the command that uninstalls distributions with shared files, and then installs another."""
    return f"{python_command()} -m pip uninstall -y {' '.join(remove)} && {install}"


def repair_command(family: Family, installed: InstalledDistributions) -> str:
    """Return the command that leaves exactly one intact distribution of a family installed."""
    owners = installed.owners(family.module)
    if not owners:
        return install_command(family.requirement)
    for_gpu = [name for name in owners if "gpu" in name or "cuda" in name]
    remaining = family.preferred or (for_gpu or owners)[0]
    version = installed.version(remaining)
    return replace_command(owners, install_command(f"{remaining}=={version}" if version else remaining))


def _examine_family(family: Family, installed: InstalledDistributions) -> InstallationFinding:
    owners = installed.owners(family.module)
    command = repair_command(family, installed)
    if not owners:
        return InstallationFinding(
            family.title, f"not installed; install {family.requirement}", Severity.PROBLEM, command
        )
    versions = ", ".join(f"{name} {installed.version(name)}" for name in owners)
    if len(owners) > 1:
        is_required = "insightface" in installed.distributions and family.module != "faiss"
        cause = " (insightface requires onnxruntime and opencv-python)" if is_required else ""
        detail = f"{versions} overwrite each other{cause}; only one may be installed"
        return InstallationFinding(family.title, detail, Severity.PROBLEM, command)
    missing = installed.missing_files(owners[0], family.module)
    if missing:
        detail = f"{versions} lacks {missing} of its files, probably after the removal of another package of this kind"
        return InstallationFinding(family.title, detail, Severity.PROBLEM, command)
    return InstallationFinding(family.title, versions)


def _examine_cuda(installed: InstalledDistributions) -> list[InstallationFinding]:
    majors = {
        name: major
        for family in (RUNTIME, FAISS)
        for name in installed.owners(family.module)
        if (major := installed.cuda_major(name)) is not None
    }
    if not majors:
        return []
    detail = ", ".join(f"{name} {installed.version(name)} needs CUDA {major}" for name, major in majors.items())
    if len(set(majors.values())) == 1:
        return [InstallationFinding("CUDA", detail)]
    command = replace_command(majors, install_command("facebank[gpu]"))
    return [InstallationFinding("CUDA", f"{detail}; the major versions must be equal", Severity.PROBLEM, command)]


def _examine_core(installed: InstalledDistributions) -> list[InstallationFinding]:
    absent = [name for name in CORE if installed.version(name) is None]
    if not absent:
        return []
    return [
        InstallationFinding(
            "Packages", f"not installed: {', '.join(absent)}", Severity.PROBLEM, install_command(*absent)
        )
    ]


def _name(distribution: metadata.Distribution) -> str | None:
    """Return the name of a distribution, None if its metadata are missing or unreadable."""
    try:
        fields = distribution.metadata
        return fields["Name"] if "Name" in fields else None  # noqa: SIM401 - Python 3.11's metadata has no get()
    except (OSError, ValueError):
        return None


def _owns(distribution: metadata.Distribution, module: str) -> bool:
    return f"\n{module}/__init__.py," in f"\n{_read_record(distribution)}"


def _read_record(distribution: metadata.Distribution) -> str:
    return distribution.read_text("RECORD") or ""


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
