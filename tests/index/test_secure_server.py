"""A real Milvus server with TLS and a token."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from facebank.errors import ServiceError
from facebank.gallery import Gallery
from facebank.index.gallery_index import open_index, open_local_index
from facebank.index.milvus import milvus_mirror
from facebank.index.milvus_address import MilvusAddress
from tests.gallery.conftest import FaceFactory
from tests.index.conftest import client_problem, skip_on
from tests.index.milvus_server import MilvusServer, server_problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from facebank.index.gallery_index import GalleryIndex

TOKEN = "root:Milvus"  # of a new server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate of an authority, ``ca.pem``, and one for 127.0.0.1 signed by it, ``server.pem``."""
    openssl_problem = None if shutil.which("openssl") else "the program openssl is not installed"
    skip_on(client_problem() or server_problem() or openssl_problem)
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1", encoding="ascii")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -keyout other.key -out other.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def secure_address(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that requires TLS and a token, with the collection ``family``."""
    settings = {
        "common.security.authorizationEnabled": "true",
        "common.security.tlsMode": "1",
        "tls.serverPemPath": str(certificates / "server.pem"),
        "tls.serverKeyPath": str(certificates / "server.key"),
        "tls.caPemPath": str(certificates / "ca.pem"),
    }
    with MilvusServer(tmp_path_factory.mktemp("secure"), settings) as server:
        yield f"milvus+tls://127.0.0.1:{server.port}/family?ca={certificates / 'ca.pem'}"


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gallery]:
    """A gallery of five people."""
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "cache"))
    faces = FaceFactory(1)
    with Gallery.open(tmp_path / "family.facebank", faces.pack, create=True) as opened:
        opened.enroll_people([(f"Person {number}", faces.samples(2)) for number in range(5)])
        yield opened


def nearest_rows(index: GalleryIndex) -> list[list[int]]:
    """Return the rows of the people nearest to a face."""
    assert index.people is not None
    query = FaceFactory(9).vector().astype("float64")[None]
    return [rows.tolist() for rows in index.people.nearest_people.near(query, 3)]


def search(gallery: Gallery, address: str) -> list[list[int]]:
    """Return the rows of the people nearest to a face, found on Milvus."""
    gallery.mirror = milvus_mirror(MilvusAddress.parse(address), fallback=False)
    return nearest_rows(open_index(gallery))


def test_an_encrypted_server_with_a_token_finds_the_same_people(
    gallery: Gallery, secure_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEBANK_MILVUS_TOKEN", TOKEN)
    assert search(gallery, secure_address) == nearest_rows(open_local_index(gallery))


@pytest.mark.parametrize("token", ["", "root:a-wrong-secret"])
def test_a_server_refuses_clients_without_its_token(
    gallery: Gallery, secure_address: str, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("FACEBANK_MILVUS_TOKEN", token)
    with pytest.raises(ServiceError) as caught:
        search(gallery, secure_address)
    assert "a-wrong-secret" not in str(caught.value)


def test_a_certificate_of_another_authority_is_refused(
    gallery: Gallery, secure_address: str, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEBANK_MILVUS_TOKEN", TOKEN)
    with pytest.raises(ServiceError):
        search(gallery, secure_address.replace("ca.pem", "other.pem"))
    with pytest.raises(ServiceError):
        search(gallery, secure_address.partition("?")[0].replace("milvus+tls", "milvus"))
