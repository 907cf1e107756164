"""Fixtures for video and message tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, with its key."""
    path = tmp_path_factory.mktemp("tls") / "combined.pem"
    key, certificate_path = path.with_name("key.pem"), path.with_name("certificate.pem")
    key_options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=test"]
    name_options = ["-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-nodes",
        "-days",
        "2",
        *key_options,
        *name_options,
        "-keyout",
        str(key),
        "-out",
        str(certificate_path),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the program openssl")
    path.write_bytes(key.read_bytes() + certificate_path.read_bytes())
    return path
