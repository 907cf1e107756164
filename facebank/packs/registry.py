"""Registry of packs that can be installed by name: addresses, hashes and manifests."""

from __future__ import annotations

from dataclasses import dataclass, replace

from facebank.packs.manifest import (
    EMBEDDED_FOLDER,
    DataTerms,
    DetectorSpec,
    EmbedderSpec,
    PackManifest,
    Thresholds,
    read_manifest,
)

_RELEASES = "https://github.com/deepinsight/insightface/releases/download/v0.7/"
_INSIGHTFACE_TERMS = "https://github.com/deepinsight/insightface/tree/master/model_zoo#license"

_WIDER_FACE = "WIDER FACE: CC BY-NC-ND 4.0"

_UNCALIBRATED = Thresholds(
    known=0.4,
    margin=0.05,
    verify=0.35,
    minimum_quality=0.2,
    calibrated_on="no data (conservative defaults for embeddings of 512 numbers trained with an angular margin)",
)


@dataclass(frozen=True, slots=True)
class KnownPack:
    """A pack that can be installed by name."""

    manifest: PackManifest  # installed with the unchanged published files
    # address of the download: a zip archive, or a single embedder for use with the embedded detector
    url: str
    sha256: str  # hash of the download
    folder: str = ""  # folder of the files in the archive; empty for its top

    @property
    def name(self) -> str:
        """The pack's name."""
        return self.manifest.name


def known_packs() -> dict[str, KnownPack]:
    """Return the packs that can be installed by name, with their names as keys, in the order of display."""
    w600k = "w600k_r50.onnx", "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43"
    scrfd_10g = "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91"
    packs = [
        _insightface(
            *("buffalo_l", "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f"),
            detector=("det_10g.onnx", scrfd_10g),
            embedder=w600k,
        ),
        _insightface(
            *("buffalo_m", "d98264bd8f2dc75cbc2ddce2a14e636e02bb857b3051c234b737bf3b614edca9"),
            detector=("det_2.5g.onnx", "041f73f47371333d1d17a6fee6c8ab4e6aecabefe398ff32cca4e2d5eaee0af9"),
            embedder=w600k,
        ),
        _insightface(
            *("buffalo_sc", "57d31b56b6ffa911c8a73cfc1707c73cab76efe7f13b675a05223bf42de47c72"),
            detector=("det_500m.onnx", "5e4447f50245bbd7966bd6c0fa52938c61474a04ec7def48753668a9d8b4ea3a"),
            hint_score=0.03,
            embedder=("w600k_mbf.onnx", "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f"),
        ),
        _insightface(
            *("antelopev2", "8e182f14fc6e80b3bfa375b33eb6cff7ee05d8ef7633e738d1c89021dcf0c5c5"),
            detector=("scrfd_10g_bnkps.onnx", scrfd_10g),
            embedder=("glintr100.onnx", "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf"),
            folder="antelopev2",
            trained_on="Glint360K",
        ),
        _adaface(),
    ]
    return {pack.name: pack for pack in packs}


def _insightface(
    name: str,
    sha256: str,
    *,
    detector: tuple[str, str],
    embedder: tuple[str, str],
    folder: str = "",
    trained_on: str = "WebFace600K",
    hint_score: float | None = None,
) -> KnownPack:
    """Return a pack of InsightFace; networks are given as file name and SHA-256."""
    manifest = PackManifest(
        name=name,
        title=f"InsightFace {name}: SCRFD and ArcFace",
        version="0.7",
        source=f"{_RELEASES}{name}.zip",
        license="InsightFace: non-commercial research purposes only",
        license_url=_INSIGHTFACE_TERMS,
        commercial_use=False,
        detector=_scrfd(*detector, hint_score),
        embedder=_arcface(*embedder),
        thresholds=_UNCALIBRATED,
        training_data=DataTerms(
            name=f"{trained_on} (ArcFace), WIDER FACE (SCRFD)",
            terms=f"{trained_on}: non-commercial research only, according to InsightFace; {_WIDER_FACE}",
            url=_INSIGHTFACE_TERMS,
            commercial_use="no",
        ),
    )
    return KnownPack(manifest, manifest.source, sha256, folder)


def _adaface() -> KnownPack:
    url = "https://github.com/yakhyo/adaface-onnx/releases/download/weights/adaface_ir_18.onnx"
    sha256 = "6b6a35772fb636cdd4fa86520c1a259d0c41472a76f70f802b351837a00d9870"
    manifest = PackManifest(
        name="adaface_ir18",
        title="AdaFace IR-18 (WebFace4M), with YuNet",
        version="1",
        source=url,
        license="MIT (AdaFace), MIT (YuNet)",
        license_url="https://github.com/yakhyo/adaface-onnx/blob/main/LICENSE",
        commercial_use=True,
        detector=read_manifest(EMBEDDED_FOLDER).detector,
        embedder=replace(_arcface("adaface_ir_18.onnx", sha256), prepare=True, input="input", color="BGR"),
        thresholds=_UNCALIBRATED,
        training_data=DataTerms(
            name="WebFace4M (AdaFace), WIDER FACE (YuNet)",
            terms=f"WebFace260M and its parts: academic research only, no commercial use; {_WIDER_FACE}",
            url="https://www.face-benchmark.org/download.html",
            commercial_use="no",
        ),
    )
    return KnownPack(manifest, url, sha256)


def _scrfd(file: str, sha256: str, hint_score: float | None = None) -> DetectorSpec:
    return DetectorSpec(
        kind="scrfd",
        file=file,
        sha256=sha256,
        prepare=False,
        mean=(127.5, 127.5, 127.5),
        scale=(1 / 128, 1 / 128, 1 / 128),
        color="RGB",
        score_threshold=0.5,
        nms_threshold=0.4,
        upright_score=0.8,
        refine=False,
        hint_score=hint_score,
    )


def _arcface(file: str, sha256: str) -> EmbedderSpec:
    return EmbedderSpec(
        file=file,
        sha256=sha256,
        prepare=False,
        input="input.1",
        size=112,
        mean=(127.5, 127.5, 127.5),
        scale=(1 / 127.5, 1 / 127.5, 1 / 127.5),
        color="RGB",
        normalization="fixed",
        template="arcface",
        dimension=512,
        flip=False,
    )
