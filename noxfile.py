"""Nox sessions of the checks in ``.ci/run``: ``nox -s lint types tests docs``."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests", "docs"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("ruff>=0.8")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    session.install("-e", ".[cpu,dev]")
    session.run("mypy")


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run all tests or the given ones: ``nox -s tests-3.12 -- tests/gallery``."""
    session.install("-e", ".[cpu,test]")
    session.run("python", "-m", "pytest", *(session.posargs or ["-n", "auto"]))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site and run the notebooks."""
    session.install("-e", ".[cpu,test,docs]")
    tests = ("tests/test_site.py", "tests/test_notebooks.py", "tests/test_documents.py")
    session.run("python", "-m", "pytest", *tests, env={"FACEBANK_CI_DOCUMENTS": "1"})
