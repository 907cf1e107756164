"""Signing in to the family page and out of it."""

from __future__ import annotations

import html
import re

from tests.service.conftest import TOKEN, Serve


def test_missing_key_redirects_to_sign_in(serve: Serve) -> None:
    client = serve(token=TOKEN)
    assert client.get("/").status_code == 303
    assert client.get("/").headers["location"] == "/sign-in"
    assert client.get("/pictures/samples/1").status_code == 401
    assert client.get("/static/page.css").status_code == 200


def test_signing_in_needs_a_valid_key_and_sets_a_protected_cookie(serve: Serve) -> None:
    client = serve(token=TOKEN)
    refused = client.post("/sign-in", data={"key": "x" * 30})
    assert refused.status_code == 401
    assert "not valid" in refused.text
    response = client.post("/sign-in", data={"key": TOKEN})
    assert response.status_code == 303
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/").status_code == 200


def test_signing_out_needs_the_csrf_token(serve: Serve) -> None:
    client = serve(token=TOKEN)
    client.post("/sign-in", data={"key": TOKEN})
    (csrf_token,) = re.findall(r'name="csrf-token" content="(\w+)"', client.get("/").text)
    origin = str(client.base_url).rstrip("/")
    assert client.post("/sign-out", headers={"Origin": origin}).status_code == 403
    assert client.post("/sign-out", headers={"Origin": origin, "X-CSRF-Token": csrf_token}).status_code == 200
    assert client.get("/").status_code == 303


def test_signing_in_leads_to_the_requested_page(serve: Serve) -> None:
    client = serve(token=TOKEN)
    response = client.get("/people/1?with=2&page=1")
    form = client.get(response.headers["location"])
    target = html.unescape(re.findall(r'name="to" value="([^"]*)"', form.text)[0])
    assert target == "/people/1?with=2&page=1"
    refused = client.post("/sign-in", data={"key": "x" * 30, "to": target})
    assert html.escape(target) in refused.text
    assert client.post("/sign-in", data={"key": TOKEN, "to": target}).headers["location"] == target


def test_signing_in_leads_to_no_other_site(serve: Serve) -> None:
    client = serve(token=TOKEN)
    targets = [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "http:evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "evil.example",
        "@evil.example",
        "",
        " //evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\nSet-Cookie: a=b",
        "/who\x00",
        "/a\\b",
        "/\u2215evil",
        "/sign-in",
        "/" + "a" * 3000,
    ]
    for target in targets:
        assert 'name="to" value="/"' in client.get("/sign-in", params={"to": target}).text, target
        assert client.post("/sign-in", data={"key": TOKEN, "to": target}).headers["location"] == "/", target
        assert client.get("/sign-in", params={"to": target}).headers["location"] == "/", target  # signed in already
        client.cookies.clear()


def test_sign_in_needs_its_own_form(serve: Serve) -> None:
    client = serve(token=TOKEN)
    for headers in (
        {"Origin": "null"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    ):
        assert client.post("/sign-in", data={"key": TOKEN}, headers=headers).status_code == 403
    # Browsers send these headers from pages without a referrer.
    same_origin = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/sign-in", data={"key": TOKEN}, headers=same_origin).status_code == 303
