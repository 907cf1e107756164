"""Feedback, audit and settings over HTTP."""

from __future__ import annotations

from dataclasses import fields

import httpx
import jsonschema
import pytest

from facebank.recognition.settings import DecisionSettings
from facebank.schemas import load
from facebank.service.api.bodies import SettingsBody
from tests.demo_photos import BIDEN, BLUE_ROOM

from .conftest import BARACK, EILEEN


def largest_face(client: httpx.Client, data: bytes) -> dict[str, object]:
    """Return the largest identified face of a photo."""
    (photo,) = client.post("/api/v1/identify", content=data).json()["photos"]
    face: dict[str, object] = photo["faces"][0]
    return face


def test_answer_changes_the_next_decision(client: httpx.Client) -> None:
    data = BLUE_ROOM.read_bytes()
    assert largest_face(client, data)["person"] == "Barack"
    files = {"photo": ("party.jpg", data)}
    denied = client.post("/api/v1/feedback", data={"answer": "deny", "person": "barack"}, files=files).json()
    assert (denied["image"], denied["face"], denied["reason"], denied["accepted"]) == ("party.jpg", 1, "denied", True)
    assert denied.pop("sample_id") is None
    jsonschema.validate({**denied, "files_with_name": 0}, load("deny"))
    assert largest_face(client, data)["person"] is None
    confirmed = client.post(
        "/api/v1/feedback", data={"answer": "confirm", "person": "Barack", "face": "1"}, files=files
    ).json()
    assert confirmed.pop("stranger_id") is None
    jsonschema.validate(confirmed, load("confirm"))
    assert confirmed["reason"] == "enrolled"
    assert largest_face(client, data)["person"] == "Barack"


def test_stranger_is_remembered(client: httpx.Client) -> None:
    data = BIDEN.read_bytes()
    files = {"photo": ("joe.jpg", data)}
    reply = client.post("/api/v1/feedback", data={"answer": "nobody", "face": "1"}, files=files).json()
    assert (reply["reason"], reply["person"], reply["stranger_id"]) == ("remembered", None, 1)
    assert largest_face(client, data)["reason"] == "remembered_stranger"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        ({}, 422, "InvalidValue"),
        ({"answer": "maybe"}, 422, "InvalidValue"),
        ({"answer": "confirm"}, 422, "InvalidValue"),
        ({"answer": "nobody", "person": "Barack"}, 422, "InvalidValue"),
        ({"answer": "deny", "person": "Nobody"}, 404, "PersonNotFoundError"),
        ({"answer": "deny", "person": "Barack", "face": "7"}, 422, "UsageError"),
        ({"answer": "deny", "person": "Barack", "face": "x"}, 422, "InvalidValue"),
        ({"answer": "deny", "person": "Eileen", "face": "0"}, 422, "UsageError"),
    ],
)
def test_invalid_answer_is_refused(client: httpx.Client, data: dict[str, str], status: int, code: str) -> None:
    response = client.post("/api/v1/feedback", data=data, files={"photo": ("a.jpg", BARACK.read_bytes())})
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert client.get("/api/v1/people/Barack").json()["samples"] == 1


def test_audit_follows_the_schema(client: httpx.Client) -> None:
    client.post(
        "/api/v1/people", data={"name": "Ellen", "force": "true"}, files={"photo": ("e.jpg", BLUE_ROOM.read_bytes())}
    )
    reply = client.get("/api/v1/audit").json()["findings"]
    assert {finding["finding"] for finding in reply} >= {"few_samples"}
    for finding in reply:
        jsonschema.validate(finding, load("audit"))
    assert client.get("/api/v1/audit", params={"pairs": -1}).status_code == 422


def test_settings_change_all_or_none(client: httpx.Client) -> None:
    before = client.get("/api/v1/settings").json()["settings"]
    for setting in before:
        jsonschema.validate(setting, load("settings-show"))
    for invalid in (
        {"fpir": 0.1, "classifier": "magic"},
        {"fpir": 5},
        {"fpri": 0.1},
        {"fpir": "0.1"},
        {"allow_twice": 1},
    ):
        assert client.patch("/api/v1/settings", json=invalid).status_code == 422
    assert client.get("/api/v1/settings").json()["settings"] == before
    reply = client.patch("/api/v1/settings", json={"fpir": 0.1, "allow_twice": True}).json()["settings"]
    assert {setting["key"]: setting["value"] for setting in reply if setting["is_set"]} == {
        "fpir": 0.1,
        "allow_twice": True,
    }
    reply = client.patch("/api/v1/settings", json={"fpir": None, "allow_twice": None}).json()["settings"]
    assert reply == before


def test_every_setting_can_be_changed() -> None:
    assert set(SettingsBody.model_fields) == {field.name for field in fields(DecisionSettings)}


def test_stricter_setting_applies_at_once(client: httpx.Client) -> None:
    assert largest_face(client, EILEEN.read_bytes())["person"] == "Eileen"
    client.patch("/api/v1/settings", json={"least_probability": 0.99999999999})
    assert largest_face(client, BLUE_ROOM.read_bytes())["person"] is None
