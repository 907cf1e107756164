"""Requests and errors of the CompreFace routes, and traces of deleted subjects."""

from __future__ import annotations

import io
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from PIL import Image

from facebank import FaceBank
from facebank.gallery.derived import classifier_file, index_file
from facebank.service.compreface.image_ids import image_id_of
from facebank.service.keys import KeyFile, Role
from facebank.service.options import Limits, ServiceOptions
from tests.demo_photos import BIDEN, DEMO_PHOTOS, SPEECH

from .conftest import BARACK, EILEEN, NETWORK, Serve, send_raw

RECOGNITION = "/api/v1/recognition"


def make_upload(path: Path = SPEECH) -> dict[str, Any]:
    return {"file": (path.name, path.read_bytes())}


def error_of(response: httpx.Response) -> tuple[int, int]:
    """Return the status and code of an error in CompreFace's format."""
    content = response.json()
    assert set(content) == {"message", "code"}, content
    assert response.headers["content-type"] == "application/json"
    assert content["message"]
    assert "upload:" not in content["message"]
    return response.status_code, content["code"]


def test_forgotten_people_are_gone_from_the_file(client: httpx.Client, gallery: Path) -> None:
    name = "Joseph Robinette"
    added = client.post(f"{RECOGNITION}/faces", params={"subject": name}, files=make_upload(BIDEN))
    assert added.status_code == 201
    client.post(f"{RECOGNITION}/recognize", files=make_upload(BIDEN))
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        (sample,) = bank.samples(name)
        (embedding,) = bank.gallery.vectors_of([sample.id])
        thumbnail = bank.gallery.thumbnail(sample.id)
    assert thumbnail is not None
    traces = {
        "name": name.encode(),
        "embedding": embedding.tobytes()[:64],
        "half-precision embedding": embedding.astype(np.float16).tobytes()[:32],
        "hash of the photo": sample.content_hash.encode(),
        "name of the photo": BIDEN.name.encode(),
        "thumbnail": thumbnail[-80:-16],  # the image data without the tables that all JPEGs share
    }
    before = read_all_files(gallery)
    assert [trace_name for trace_name in ("name", "embedding", "thumbnail") if traces[trace_name] not in before] == []
    assert client.delete(f"{RECOGNITION}/subjects/{name}").json() == {"subject": name}
    after = read_all_files(gallery)
    assert [trace_name for trace_name, trace in traces.items() if trace in after] == []
    recognized = client.post(f"{RECOGNITION}/recognize", files=make_upload(BIDEN)).json()
    assert name not in str(recognized)


def read_all_files(gallery: Path) -> bytes:
    """Return the content of the gallery, its log and its cache."""
    cached = [classifier_file(gallery), *index_file(gallery).parent.rglob("*")]
    paths = [*gallery.parent.glob(f"{gallery.name}*"), *(path for path in cached if path.is_file())]
    return b"\0".join(path.read_bytes() for path in paths)


def test_removing_everything_leaves_no_trace(client: httpx.Client, gallery: Path) -> None:
    client.post(f"{RECOGNITION}/faces", params={"subject": "Barack"}, files=make_upload())
    assert client.delete(f"{RECOGNITION}/faces", params={"subject": "barack"}).json() == {"deleted": 2}
    assert client.delete(f"{RECOGNITION}/faces").json() == {"deleted": 1}
    assert client.get(f"{RECOGNITION}/subjects/").json() == {"subjects": ["Barack", "Eileen"]}
    assert client.delete(f"{RECOGNITION}/subjects/").json() == {"deleted": 2}
    content = read_all_files(gallery)
    assert b"Barack" not in content
    assert b"Eileen" not in content
    assert client.delete(f"{RECOGNITION}/subjects").json() == {"deleted": 0}
    assert error_of(client.delete(f"{RECOGNITION}/faces", params={"subject": "barack"})) == (404, 42)


def test_decisions_match_the_library(client: httpx.Client, gallery: Path) -> None:
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        for path in sorted(DEMO_PHOTOS.glob("*.jpg")):
            (expected,) = bank.identify(path)
            reply = client.post(f"{RECOGNITION}/recognize?prediction_count=9", files=make_upload(path)).json()["result"]
            assert [face["decision"] for face in reply] == [face.decision for face in expected.faces]
            names = [face["subjects"][0]["subject"] if face["subjects"] else None for face in reply]
            assert names == [face.person for face in expected.faces]
            for face, expected_face in zip(reply, expected.faces, strict=True):
                assert [candidate["subject"] for candidate in face["candidates"]] == [
                    candidate.person for candidate in expected_face.candidates
                ]


def make_pair_upload(width: int) -> dict[str, Any]:
    """Return an upload of a picture of Barack beside Eileen, whose photo is `width` pixels wide."""
    image = Image.new("RGB", (1600, 1000))
    image.paste(Image.open(BARACK).resize((800, 1000)), (0, 0))
    image.paste(Image.open(EILEEN).resize((width, width * 5 // 4)), (850, 0))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return {"file": ("both.jpg", buffer.getvalue())}


def test_parameters_select_faces(client: httpx.Client) -> None:
    upload = make_pair_upload(400)

    def names(query: str) -> list[str]:
        reply = client.post(f"{RECOGNITION}/recognize?{query}", files=upload).json()["result"]
        return [face["subjects"][0]["subject"] for face in reply]

    assert names("limit=0") == ["Barack", "Eileen"]
    assert names("limit=1&prediction_count=3") == ["Barack"]
    scores = [
        face["box"]["probability"] for face in client.post("/api/v1/detection/detect", files=upload).json()["result"]
    ]
    between = (scores[0] + scores[1]) / 2
    best = ["Barack"] if scores[0] > scores[1] else ["Eileen"]
    assert names(f"limit=0&det_prob_threshold={between}") == best
    assert names(f"det_prob_threshold={between}?status=True") == best  # as the JavaScript client writes them
    assert error_of(client.post(f"{RECOGNITION}/recognize?det_prob_threshold=1", files=upload)) == (400, 28)


def test_a_sample_needs_exactly_one_face(client: httpx.Client) -> None:
    faceless = client.post(f"{RECOGNITION}/faces?subject=Ada?det_prob_threshold=1", files=make_upload())
    assert error_of(faceless) == (400, 28)
    assert error_of(client.post(f"{RECOGNITION}/faces?subject=Ada", files=make_pair_upload(700))) == (400, 31)
    assert client.get(f"{RECOGNITION}/subjects").json() == {"subjects": ["Barack", "Eileen"]}


def test_samples_are_listed_in_pages(client: httpx.Client, gallery: Path) -> None:
    client.post(f"{RECOGNITION}/faces", params={"subject": "Barack"}, files=make_upload())
    client.post(f"{RECOGNITION}/subjects", json={"subject": "Carl"})
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        ids = [image_id_of(sample) for name in ("Barack", "Eileen") for sample in bank.samples(name)]

    def list_samples(**params: str | int) -> tuple[list[str], dict[str, int]]:
        reply = client.get(f"{RECOGNITION}/faces", params=params).json()
        return [face["image_id"] for face in reply.pop("faces")], reply

    assert list_samples() == (ids, {"page_number": 0, "page_size": 20, "total_pages": 1, "total_elements": 3})
    for number in range(4):
        page_ids, reply = list_samples(page=number, size=1)
        assert page_ids == ids[number : number + 1]
        assert reply == {"page_number": number, "page_size": 1, "total_pages": 3, "total_elements": 3}
    assert list_samples(page=1, size=2)[0] == ids[2:]
    assert list_samples(subject="eileen")[0] == ids[2:]
    assert list_samples(subject="Carl") == (
        [],
        {"page_number": 0, "page_size": 20, "total_pages": 0, "total_elements": 0},
    )
    for page, size in ((-1, -5), ("x", "y"), ("9" * 50, "9" * 50), ("", "")):
        assert list_samples(page=page, size=size)[0] == ids
    assert list_samples(page=999_999_999, size=999_999_999) == (
        [],
        {"page_number": 999_999_999, "page_size": 2000, "total_pages": 1, "total_elements": 3},
    )


def test_example_is_downloaded_by_its_unique_id(client: httpx.Client, gallery: Path) -> None:
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        (sample,) = bank.samples("Barack")
        thumbnail = bank.gallery.thumbnail(sample.id)
    image_id = uuid.UUID(image_id_of(sample))
    assert (image_id.variant, image_id.int >> 76 & 0xF, image_id.int & 0xFFFF) == (uuid.RFC_4122, 8, sample.id)
    response = client.get(f"{RECOGNITION}/faces/{image_id}/img")
    assert (response.content, response.headers["content-type"]) == (thumbnail, "image/jpeg")
    for other in (uuid.UUID(int=image_id.int ^ 1 << 100), uuid.UUID(int=image_id.int ^ 1 << 40), uuid.uuid4()):
        assert error_of(client.get(f"{RECOGNITION}/faces/{other}/img")) == (404, 11)
        assert error_of(client.delete(f"{RECOGNITION}/faces/{other}")) == (404, 11)
        assert error_of(client.post(f"{RECOGNITION}/faces/{other}/verify", files=make_upload())) == (404, 11)
    assert error_of(client.delete(f"{RECOGNITION}/faces/nonsense")) == (400, 26)
    assert error_of(client.get(f"/api/v1/static/a-key/images/{image_id}")) == (400, 26)
    assert client.get(f"{RECOGNITION}/faces").json()["total_elements"] == 2


def test_several_examples_are_deleted_or_none(client: httpx.Client) -> None:
    ids = [face["image_id"] for face in client.get(f"{RECOGNITION}/faces").json()["faces"]]
    url = f"{RECOGNITION}/faces/delete"
    assert error_of(client.post(url, json=[*ids, str(uuid.uuid4())])) == (404, 11)
    for invalid in ({"ids": ids}, [1], "x", [None]):
        assert error_of(client.post(url, json=invalid)) == (400, 26)
    assert error_of(client.post(url, content=b"[" * 40_000)) == (400, 26)
    assert error_of(client.post(url, json=ids * 6000)) == (400, 26)
    assert [example["image_id"] for example in client.post(url, json=ids * 2).json()] == ids
    assert client.post(url, json=[]).json() == []


def test_renaming_merges_people_only_if_they_look_alike(client: httpx.Client, gallery: Path) -> None:
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        bank.enroll("B. Obama", SPEECH, force=True)
    assert error_of(client.put(f"{RECOGNITION}/subjects/Eileen", json={"subject": "Barack"})) == (400, 26)
    assert error_of(client.put(f"{RECOGNITION}/subjects/Nobody", json={"subject": "Barack"})) == (404, 42)
    assert client.put(f"{RECOGNITION}/subjects/eileen", json={"subject": "EILEEN"}).json() == {"updated": True}
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        (moved,) = bank.samples("B. Obama")
        assert client.put(f"{RECOGNITION}/subjects/B. Obama", json={"subject": "Barack"}).json()["updated"]
        assert moved.id in [sample.id for sample in bank.samples("Barack")]
        assert [person.name for person in bank.people()] == ["Barack", "EILEEN"]


@pytest.mark.parametrize("name", ["a/b", "..", "", " ", "x" * 201, "a\u202eb", "a\nb"])
def test_invalid_names_are_refused(client: httpx.Client, name: str) -> None:
    for response in (
        client.post(f"{RECOGNITION}/subjects", json={"subject": name}),
        client.put(f"{RECOGNITION}/subjects/Eileen", json={"subject": name}),
        client.post(f"{RECOGNITION}/faces", params={"subject": name}, files=make_upload()),
    ):
        assert error_of(response) in {(400, 26), (400, 33)}
    assert client.get(f"{RECOGNITION}/subjects").json() == {"subjects": ["Barack", "Eileen"]}


def test_names_with_spaces_and_other_scripts_are_found(client: httpx.Client) -> None:
    for name in ("Ada Lovelace", "Ирина", "山田 太郎", "50% & more?", "<script>alert(1)</script>".replace("/", "")):
        assert client.post(f"{RECOGNITION}/subjects", json={"subject": name}).json() == {"subject": name}
        url = httpx.URL(f"{client.base_url}{RECOGNITION}/subjects").join(f"subjects/{quote(name, safe='')}")
        assert client.delete(url).json() == {"subject": name}


def test_form_without_boundary_is_read(client: httpx.Client) -> None:
    body = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    body += SPEECH.read_bytes() + b"\r\n--xyz--\r\n"
    headers = {"Content-Type": "multipart/form-data"}
    reply = client.post(f"{RECOGNITION}/recognize", content=body, headers=headers).json()
    assert reply["result"][0]["subjects"][0]["subject"] == "Barack"
    for broken in (b"", b"--", b"no form", b"--" + b"x" * 5000, b"--a b\r\n\r\n", b'--"\r\n\r\n'):
        assert error_of(client.post(f"{RECOGNITION}/recognize", content=broken, headers=headers))[0] == 400


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=-1", "limit"),
        ("limit=1e9", "limit"),
        ("prediction_count=0", "prediction_count"),
        ("det_prob_threshold=2", "det_prob_threshold"),
        ("det_prob_threshold=nan", "det_prob_threshold"),
        ("det_prob_threshold=" + "1" * 5000, "det_prob_threshold"),
        ("face_plugins=age", "age is not supported"),
        ("face_plugins=landmarks,mask", "mask is not supported"),
        ("face_plugins=calculator", "--embeddings"),
    ],
)
def test_invalid_requests_are_errors(client: httpx.Client, query: str, expected: str) -> None:
    for path in (f"{RECOGNITION}/recognize", "/api/v1/detection/detect"):
        response = client.post(f"{path}?{query}", files=make_upload())
        assert error_of(response) == (400, 26)
        assert expected in response.json()["message"]


def test_embeddings_are_returned_if_enabled(serve: Serve) -> None:
    client = serve(ServiceOptions(embeddings=True))
    reply = client.post("/api/v1/detection/detect?face_plugins=calculator,landmarks", files=make_upload()).json()
    (face,) = reply["result"]
    assert (len(face["embedding"]), len(face["landmarks"])) == (128, 5)


def test_errors_about_access_have_compreface_format(serve: Serve, gallery: Path) -> None:
    client = serve(NETWORK)
    headers = {"x-api-key": KeyFile.of_gallery(gallery).add("read", Role.READ)}
    assert error_of(client.get(f"{RECOGNITION}/subjects")) == (401, 20)
    assert error_of(client.get(f"{RECOGNITION}/subjects", headers={"x-api-key": "nonsense"})) == (401, 10)
    assert error_of(client.get(f"{RECOGNITION}/nothing", headers=headers)) == (404, 0)
    assert error_of(client.get(f"{RECOGNITION}/recognize", headers=headers)) == (405, 0)
    assert error_of(client.get(f"{RECOGNITION}/subjects", headers={"Host": "evil.example"})) == (403, 0)
    assert error_of(client.get(f"{RECOGNITION}/faces?api_key=1", headers=headers)) == (400, 0)
    other_route = client.get("/api/v1/nothing", headers=headers)
    assert other_route.headers["content-type"] == "application/problem+json"


def test_errors_about_photos_have_compreface_format(serve: Serve) -> None:
    client = serve(ServiceOptions(limits=Limits(body=2_000_000)))
    head = f"POST {RECOGNITION}/recognize HTTP/1.1\r\nHost: localhost\r\nx-api-key: any\r\n"
    response = send_raw(str(client.base_url), f"{head}Content-Length: 3000000\r\n\r\n".encode())
    assert b" 413 " in response.splitlines()[0]
    assert json.loads(response.partition(b"\r\n\r\n")[2])["code"] == 0
    assert error_of(client.post(f"{RECOGNITION}/recognize")) == (400, 34)
    assert error_of(client.post("/api/v1/verification/verify", files=make_upload())) == (400, 34)
    zipped = {"file": ("a.jpg", b"PK\x03\x04 no photo")}
    assert error_of(client.post(f"{RECOGNITION}/recognize", files=zipped)) == (400, 21)
    two_photos = {"source_image": zipped["file"], "target_image": make_upload()["file"]}
    assert error_of(client.post("/api/v1/verification/verify", files=two_photos)) == (400, 21)


def test_errors_about_roles_have_compreface_format(serve: Serve, gallery: Path) -> None:
    client, keys = serve(NETWORK), KeyFile.of_gallery(gallery)
    read, teach = ({"x-api-key": keys.add(role.name, role)} for role in (Role.READ, Role.TEACH))
    teach_routes = (
        ("POST", "/faces?subject=Ada"),
        ("POST", "/subjects"),
        ("PUT", "/subjects/Ada"),
        ("POST", "/faces/delete"),
        ("DELETE", f"/faces/{uuid.uuid4()}"),
    )
    admin_routes = (("DELETE", "/subjects/Ada"), ("DELETE", "/subjects"), ("DELETE", "/faces"))
    for method, path in (*teach_routes, *admin_routes):
        assert error_of(client.request(method, RECOGNITION + path, headers=read)) == (403, 1)
    for method, path in admin_routes:
        assert error_of(client.request(method, RECOGNITION + path, headers=teach)) == (403, 1)
    assert client.get(f"{RECOGNITION}/subjects", headers=read).json() == {"subjects": ["Barack", "Eileen"]}


def test_empty_gallery_recognizes_nobody(client: httpx.Client) -> None:
    assert client.delete(f"{RECOGNITION}/subjects").json() == {"deleted": 2}
    (face,) = client.post(f"{RECOGNITION}/recognize", files=make_upload(EILEEN)).json()["result"]
    assert (face["subjects"], face["candidates"], face["reason"]) == ([], [], "gallery_empty")
    assert client.get(f"{RECOGNITION}/faces").json()["faces"] == []


def test_concurrent_enrolling_and_forgetting_keeps_the_gallery_intact(client: httpx.Client, gallery: Path) -> None:
    def change_subjects(number: int) -> list[int]:
        with httpx.Client(base_url=client.base_url, timeout=60.0, trust_env=False) as worker:
            if number == 0:
                return [worker.delete(f"{RECOGNITION}/subjects").status_code for _ in range(4)]
            return [
                worker.post(f"{RECOGNITION}/faces?subject=Ada", files=make_upload(BIDEN)).status_code for _ in range(4)
            ]

    with ThreadPoolExecutor(5) as pool:
        statuses = {status for worker_statuses in pool.map(change_subjects, range(5)) for status in worker_statuses}
    assert statuses <= {200, 201, 404}  # 404: forgotten between enrollment and response
    assert client.post(f"{RECOGNITION}/faces?subject=Ada", files=make_upload(BIDEN)).status_code == 201
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        assert [(person.name, person.sample_count) for person in bank.people()] == [("Ada", 1)]


@pytest.mark.parametrize(
    "path", ["recognition/embeddings/recognize", "recognition/other", "detection/other", "static/x"]
)
def test_errors_for_unsupported_routes_mention_the_guide(client: httpx.Client, path: str) -> None:
    response = client.post(f"/api/v1/{path}", json={})
    assert error_of(response)[1] == 0
    assert "docs/compreface.md" in response.json()["message"]
