"""Answers of the service about photos, which match the library."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import httpx
import jsonschema
import pytest

from facebank import FaceBank
from facebank.schemas import load
from facebank.schemas.records import photo_record
from facebank.service.options import Limits, ServiceOptions
from tests.demo_photos import DEMO_PHOTOS

from .conftest import BARACK, EILEEN, Serve

PHOTOS = sorted(DEMO_PHOTOS.glob("*.jpg"))


def test_decisions_equal_those_of_the_library(serve: Serve, gallery: Path) -> None:
    client = serve(ServiceOptions(exact=True))
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        expected = {path.name: photo_record(*bank.identify(path)) for path in PHOTOS}
    for path in PHOTOS:
        (reply,) = client.post("/api/v1/identify", files={"photo": (path.name, path.read_bytes())}).json()["photos"]
        assert reply == json.loads(json.dumps({**expected[path.name], "image": path.name}))


def test_answers_follow_the_schema_and_are_rounded(client: httpx.Client) -> None:
    (reply,) = client.post("/api/v1/identify", content=BARACK.read_bytes()).json()["photos"]
    jsonschema.validate(reply, load("identify"))
    (face,) = reply["faces"]
    assert face["person"] == "Barack"
    assert face["probability"] == 0.999  # never rounded to 1
    for number in (
        face["similarity"],
        face["stranger_probability"],
        *(candidate["similarity"] for candidate in face["candidates"]),
    ):
        assert number == round(number, 3)


def test_photos_are_accepted_as_form_raw_and_json(client: httpx.Client) -> None:
    data = BARACK.read_bytes()
    encoded = base64.b64encode(data).decode()
    form = {"files": {"photos": ("me.jpg", data)}}
    requests = (
        (form, "me.jpg"),
        ({"content": data, "headers": {"X-Photo-Name": "../secret/me.jpg"}}, "me.jpg"),
        ({"json": {"photos": [encoded]}}, "photo 1"),
        ({"json": {"photo": {"name": "me.jpg", "data": f"data:image/jpeg;base64,{encoded}"}}}, "me.jpg"),
    )
    for request, name in requests:
        (reply,) = client.post("/api/v1/identify", **request).json()["photos"]
        assert (reply["image"], reply["faces"][0]["person"]) == (name, "Barack")


def test_several_photos_keep_their_order_and_errors(client: httpx.Client) -> None:
    parts = [("photos", ("a.jpg", BARACK.read_bytes())), ("photos", ("b.jpg", b"PK\x03\x04 no photo"))]
    first, second = client.post("/api/v1/identify", files=parts).json()["photos"]
    assert (first["image"], first["error"], second["image"]) == ("a.jpg", None, "b.jpg")
    assert second["error"].startswith("b.jpg")
    assert second["faces"] == []


def test_two_photos_are_compared(client: httpx.Client) -> None:
    parts = [("a", ("a.jpg", BARACK.read_bytes())), ("b", ("b.jpg", EILEEN.read_bytes()))]
    reply = client.post("/api/v1/verify", files=parts).json()
    jsonschema.validate(reply, load("verify"))
    assert (reply["a"], reply["b"], reply["same"]) == ("a.jpg", "b.jpg", False)
    assert client.post("/api/v1/verify", files=parts[:1]).json()["code"] == "TwoPhotos"
    unreadable = client.post("/api/v1/verify", files=[parts[0], ("b", ("none.jpg", b"\xff\xd8\xff"))])
    assert (unreadable.status_code, unreadable.json()["code"]) == (422, "UnreadablePhotoError")
    assert unreadable.json()["detail"].startswith("none.jpg")


def test_faces_are_detected_without_names(client: httpx.Client) -> None:
    (reply,) = client.post("/api/v1/detect", content=BARACK.read_bytes()).json()["photos"]
    assert set(reply["faces"][0]) == {"box", "landmarks", "detection_score", "quality"}


def test_embeddings_are_returned_only_if_enabled(serve: Serve, client: httpx.Client) -> None:
    data = BARACK.read_bytes()
    refused = client.post("/api/v1/embed", content=data)
    assert (refused.status_code, refused.json()["code"]) == (403, "EmbeddingsAreOff")
    (reply,) = serve(ServiceOptions(embeddings=True)).post("/api/v1/embed", content=data).json()["photos"]
    assert len(reply["faces"][0]["embedding"]) == 128


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({}, 400, "NoPhoto"),
        ({"json": {"photos": "no list"}}, 422, "InvalidValue"),
        ({"json": {"photos": ["!"]}}, 422, "InvalidValue"),
        ({"json": [1]}, 422, "InvalidValue"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "JsonNotUnderstood"),
        ({"content": b"[" * 40_000, "headers": {"Content-Type": "application/json"}}, 400, "JsonNotUnderstood"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "FormNotUnderstood"),
        ({"files": [("photos", (f"{number}.jpg", b"x")) for number in range(4)]}, 413, "TooMany"),
    ],
)
def test_invalid_requests_are_refused_with_a_code(
    serve: Serve, options: dict[str, object], status: int, code: str
) -> None:
    client = serve(ServiceOptions(limits=Limits(photos=3)))
    response = client.post("/api/v1/identify", **options)  # type: ignore[arg-type]
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_metrics_count_decisions_without_names(client: httpx.Client) -> None:
    client.post("/api/v1/identify", content=BARACK.read_bytes())
    text = client.get("/api/v1/metrics").text
    assert 'facebank_faces_total{decision="known"} 1.0' in text
    assert "facebank_people 2.0" in text
    assert "Barack" not in text
