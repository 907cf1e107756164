"""The family page in Debian's Chromium, driven by Playwright, with accessibility checks by axe-core."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from facebank import FaceBank
from facebank.recognition.settings import change_setting
from facebank.service.options import ServiceOptions
from tests.demo_photos import DEMO_PHOTOS
from tests.service.conftest import TOKEN, Serve, skip_or_fail, wait_for_photos, write_pair

sync_api = pytest.importorskip("playwright.sync_api")

AXE = "axe-core@4.14.1"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MAX_FIRST_VIEW = 300_000  # bytes

FIND_SMALL_TARGETS = """(minimum) => {
    const small = [];
    for (const element of document.querySelectorAll("a[href], button, input, select, textarea, summary")) {
        const isBoxed = element.matches("[type=radio], [type=checkbox], [type=file]");
        const target = isBoxed ? element.closest("label") : element;
        const { width, height } = target.getBoundingClientRect();
        const isInText = element.matches("a") && getComputedStyle(element).display === "inline";
        const hasAlternative = element.matches(".skip, .frame"); // the face in a frame also has a card
        if (width && height && !isInText && !hasAlternative && (width < minimum - 0.5 || height < minimum - 0.5)) {
            small.push(`${element.outerHTML.slice(0, 120)} ${width} x ${height}`);
        }
    }
    return small;
}"""

FIND_UNREADABLE_LABELS = """async () => {
    const { make, placeFrames } = await import("/static/common.js");
    const framed = document.querySelector(".framed");
    for (const box of ["0.9 0.3 0.08 0.1", "0.85 0.32 0.08 0.1", "0.8 0.3 0.08 0.1", "0.4 0.9 0.08 0.1"]) {
        framed.append(make("a", { class: "frame", "data-box": box }, make("span", {}, "No name yet")));
    }
    placeFrames(document);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const edge = framed.getBoundingClientRect();
    const labels = [...framed.querySelectorAll(".frame span")].map((label) => label.getBoundingClientRect());
    const cut = labels.filter((label) => label.left < edge.left - 1 || label.right > edge.right + 1);
    const covered = labels.filter((label, index) => labels.slice(0, index).some((other) =>
        label.left < other.right && other.left < label.right && label.top < other.bottom && other.top < label.bottom));
    return [labels.length > 4, cut.length, covered.length];
}"""

# Disables pages until they are loaded, because tests press buttons faster than people.
DISABLE_UNTIL_LOADED = """
new MutationObserver((_, watch) => {
    document.documentElement.inert = document.readyState === "loading";
    watch.disconnect();
}).observe(document, { childList: true });
document.addEventListener("DOMContentLoaded", () => (document.documentElement.inert = false));
"""

Open = Callable[..., Any]


@pytest.fixture(scope="module")  # this thread cannot run asyncio while the browser is open
def browser() -> Iterator[Any]:
    path = shutil.which("chromium")
    if path is None:
        skip_or_fail("chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core (MPL-2.0), downloaded with npm and not kept."""
    if not shutil.which("npm"):
        skip_or_fail("npm is not installed: apt-get install npm")
    folder = tmp_path_factory.mktemp("axe")
    completed = subprocess.run(
        ["npm", "pack", "--silent", AXE], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    if completed.returncode != 0:
        skip_or_fail(f"npm cannot fetch {AXE}: {completed.stderr.strip()[-200:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


@pytest.fixture
def open_page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Open]:
    """A function that opens a page; errors and requests to other hosts fail the test."""
    contexts, faults = [], list[str]()

    def start(client: httpx.Client, url: str = "/", **options: Any) -> Any:
        own_origin = str(client.base_url).rstrip("/")
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(DISABLE_UNTIL_LOADED)
        page.on(
            "request",
            lambda request: faults.append(request.url) if not request.url.startswith((own_origin, "blob:")) else None,
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(f"a dialog opened: {dialog.message}"))
        page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
        page.goto(own_origin + url)
        return page

    yield start
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def unnamed(serve: Serve, own_album: Path, gallery: Path) -> httpx.Client:
    """Client of a service whose album has photos of unnamed people."""
    for name in ("barack_obama_portrait_2012", "joe_biden_blue_room", "eileen_collins"):
        shutil.copy(DEMO_PHOTOS / f"{name}.jpg", own_album)
    with FaceBank.open(gallery, device="cpu", threads=1) as bank, bank.album() as album:
        for person in bank.people():
            bank.forget(person.name)
        album.scan(own_album)
        album.cluster(min_faces=1)
    return serve(ServiceOptions(albums=(own_album,)))


def list_names(client: httpx.Client) -> list[str]:
    return sorted(re.findall(r'class="name">([^<]+)<', client.get("/").text))


def wait_for_question(page: Any) -> None:
    page.locator("[data-question]").wait_for(state="visible")


def find_photo_url(client: httpx.Client) -> str:
    """Return the URL of the page of a photo of the first person."""
    return str(re.findall(r"/photos/[0-9a-f]{64}", client.get("/people/1").text)[0])


def wait_for_decisions(client: httpx.Client) -> None:
    """Wait until all photos are decided, because pages are reloaded until then."""
    while not client.get("/looking").json()["is_done"]:
        time.sleep(0.02)


def follow_link(page: Any, name: str) -> None:
    """Follow a link and wait until the buttons of the new page work."""
    page.get_by_role("link", name=name).click()
    page.wait_for_load_state("load")


def test_groups_are_named_by_keyboard_and_undone(unnamed: httpx.Client, open_page: Open) -> None:
    page = open_page(unnamed, "/who")
    wait_for_question(page)
    page.get_by_role("button", name="Save for 2 faces").wait_for()
    page.keyboard.press("t")  # exclude one of the two faces
    page.keyboard.press("Space")
    page.get_by_role("button", name="Save", exact=True).wait_for()
    page.keyboard.press("/")
    page.keyboard.type("Barack")
    page.keyboard.press("Enter")
    page.get_by_text("Barack: 1 face. Learned.").wait_for()
    assert len(unnamed.get("/api/v1/people/Barack/samples").json()["samples"]) == 1
    page.keyboard.press("u")
    page.get_by_text("Undone: Barack, 1 face.").wait_for()
    page.locator("[data-faces] li").nth(1).wait_for()  # both are back
    assert page.locator("[data-faces] input:not(:checked)").count() == 1  # it is still excluded
    page.keyboard.press("s")
    page.get_by_role("button", name="Undo: skipped").wait_for()
    page.keyboard.press("u")
    page.locator("[data-faces] li").nth(1).wait_for()
    assert page.locator("[data-faces] input:not(:checked)").count() == 1
    page.locator("[data-faces] input:not(:checked)").check()
    page.keyboard.press("/")
    page.keyboard.type("Barack")
    page.keyboard.press("Enter")
    page.get_by_text("Barack: 2 faces. Learned.").wait_for()
    assert list_names(unnamed) == ["Barack"]

    page.keyboard.press("x")  # the next question is about a stranger
    page.get_by_text("Nobody you know: 1 face. Learned.").wait_for()
    page.keyboard.press("u")
    page.get_by_text("Undone: Nobody you know, 1 face.").wait_for()
    wait_for_question(page)
    page.locator(".ask:not(.busy)").wait_for()
    page.keyboard.press("s")
    page.wait_for_timeout(300)
    page.keyboard.press("u")  # the skipped one is back
    page.wait_for_timeout(300)
    page.reload()  # keeps earlier answers
    wait_for_question(page)
    page.get_by_role("button", name="Undo: Barack, 2 faces").wait_for()
    page.keyboard.press("u")  # Barack is unnamed again
    page.get_by_text("Undone: Barack, 2 faces.").wait_for()
    page.locator("[data-faces] li").nth(1).wait_for()  # the group of two
    assert list_names(unnamed) == []


def test_yes_and_no_are_learned(serve: Serve, own_album: Path, gallery: Path, open_page: Open) -> None:
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        # An unreachable probability makes every face a question.
        change_setting(bank.gallery, "least_probability", "0.9999")
    client = serve(ServiceOptions(albums=(own_album,)))
    page = open_page(client, "/who")
    wait_for_question(page)
    page.get_by_role("heading", name="Is this Barack?").wait_for()
    page.keyboard.press("n")
    page.get_by_text("Not Barack: 1 face. Learned.").wait_for()
    page.keyboard.press("u")
    page.get_by_role("heading", name="Is this Barack?").wait_for()
    page.keyboard.press("y")
    page.get_by_text("Barack: 1 face. Learned.").wait_for()
    assert len(client.get("/api/v1/people/Barack/samples").json()["samples"]) == 2


def test_a_name_is_corrected_on_the_photo_and_undone(family: httpx.Client, open_page: Open) -> None:
    page = open_page(family, "/people/1")
    page.get_by_role("link", name=re.compile("barack_obama_speech")).click()
    page.get_by_role("heading", name="Barack", exact=True).wait_for()
    page.get_by_label("Somebody else?").fill("Barack Junior")
    page.get_by_role("button", name="Correct").click()
    page.get_by_role("button", name="It is Barack Junior").click()  # the face is more like Barack
    page.get_by_role("heading", name="Barack Junior").wait_for()
    page.get_by_role("button", name="Undo: Barack Junior, 1 face").click()
    page.get_by_role("heading", name="Barack", exact=True).wait_for()
    assert list_names(family) == ["Barack", "Eileen"]
    page.get_by_text("Why?").click()
    page.get_by_text("Compared with the most similar learned faces of Barack").wait_for()


def test_people_are_renamed_merged_split_and_forgotten(family: httpx.Client, open_page: Open) -> None:
    page = open_page(family, "/")
    follow_link(page, "Eileen")
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("New name").fill("Eileen Collins")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Eileen Collins", level=1).wait_for()

    page.get_by_role("button", name="Same person as").click()
    page.get_by_label("Name", exact=True).fill("Barack")
    page.get_by_role("button", name="Join").click()
    page.get_by_role("button", name="Do it anyway").click()  # they look like two people
    page.get_by_role("button", name="Separate Eileen Collins again").click()
    page.get_by_text("Separate again: Eileen Collins.").wait_for()

    follow_link(page, "People")
    follow_link(page, "Eileen Collins")
    page.get_by_role("button", name="Forget").click()
    page.get_by_text("facebank cannot remove these").wait_for()
    page.get_by_role("button", name="Forget for good").click()
    page.get_by_text("Eileen Collins is forgotten.").wait_for()
    assert list_names(family) == ["Barack"]


def test_pending_requests_finish_before_the_page_reloads(family: httpx.Client, open_page: Open) -> None:
    held_routes = list[Any]()

    def add_progress(route: Any) -> None:
        response = route.fetch()
        progress = "<p data-progress><label></label><progress></progress></p></main>"
        route.fulfill(response=response, body=response.text().replace("</main>", progress))

    page = open_page(family, "/")
    page.route("**/people/2", add_progress)
    follow_link(page, "Eileen")
    page.route("**/looking", lambda route: route.fulfill(json={"is_done": True}))
    page.route("**/remove", lambda route: held_routes.append(route))  # noqa: PLW0108 - Playwright marks the function
    page.get_by_role("button", name="Remove learned face 1").click()
    page.get_by_role("button", name="Remove learned face 1").click()
    page.wait_for_timeout(3_000)  # longer than the polling interval of the page
    held_routes[0].continue_()
    page.get_by_text("The face is removed.").wait_for()


def test_the_removal_of_a_sample_needs_confirmation(family: httpx.Client, open_page: Open) -> None:
    page = open_page(family, "/people/2")
    page.get_by_role("button", name="Remove learned face 1").click()
    assert len(family.get("/api/v1/people/Eileen/samples").json()["samples"]) == 1
    page.get_by_role("button", name="Remove learned face 1").click()
    page.get_by_text("The face is removed.").wait_for()
    assert family.get("/api/v1/people/Eileen/samples").json()["samples"] == []


def test_photos_are_dropped_and_an_album_is_scanned(
    serve: Serve, own_album: Path, open_page: Open, tmp_path: Path
) -> None:
    client = wait_for_photos(serve(ServiceOptions(albums=(own_album,))))
    page = open_page(client, "/add")
    page.set_input_files("input[type=file]", DEMO_PHOTOS / "eileen_collins.jpg")
    page.locator("[data-added] a", has_text="Eileen").wait_for()

    page.get_by_label("They all show one person").check()
    page.set_input_files("input[type=file]", write_pair(tmp_path / "two.jpg"))
    page.get_by_text("Type the name and press Enter to learn two.jpg.").wait_for()
    page.keyboard.type("Joe")
    page.keyboard.press("Enter")
    page.locator("[data-added] li li", has_text="No name yet").get_by_role("button").click()  # not Barack
    page.locator("[data-added] a", has_text="Joe").wait_for()
    data = page.evaluate_handle(
        """async (bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "joe.jpg", { type: "image/jpeg" }));
            return data;
        }""",
        list((DEMO_PHOTOS / "joe_biden_blue_room.jpg").read_bytes()),
    )
    page.dispatch_event("[data-drop]", "drop", {"dataTransfer": data})
    page.locator("[data-added] a", has_text="Joe").nth(1).wait_for()
    assert list_names(client) == ["Barack", "Eileen", "Joe"]
    assert "null" not in page.inner_text("[data-added]")

    shutil.copy(DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", own_album)
    page.get_by_role("button", name="Look through it").click()
    page.get_by_text("Done: 1 new photo, 1 known before.").wait_for()


@pytest.mark.parametrize("width", [320, 390, 1280, 3840])
def test_no_page_is_wider_than_the_screen(family: httpx.Client, open_page: Open, width: int) -> None:
    family.patch("/api/v1/people/Eileen", json={"name": "W" * 200})
    wait_for_decisions(family)
    page = open_page(family, viewport={"width": width, "height": 800})
    photo_url = find_photo_url(family)
    for url in ("/", "/people/1", photo_url, "/who", "/look-alikes", "/add", "/settings"):
        page.goto(str(family.base_url).rstrip("/") + url)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, url
        page.locator("[data-ask-page] [data-question], main:not(:has([data-ask-page]))").first.wait_for()
        page.evaluate("import('/static/common.js').then(({ say }) => say(`${'W'.repeat(200)}: 1 face. Learned.`))")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, url
        assert page.evaluate(FIND_SMALL_TARGETS, 44 if width < 500 else 24) == [], url
        if url == photo_url:
            assert page.evaluate(FIND_UNREADABLE_LABELS) == [True, 0, 0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_have_no_accessibility_violations(
    family: httpx.Client, serve: Serve, open_page: Open, axe: str, scheme: str, tmp_path: Path
) -> None:
    page = open_page(family, color_scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == (scheme == "dark")
    paths = ["/", "/?q=nobody", "/people/1", "/people/99", "/who", "/look-alikes", "/add", "/settings"]
    signed_out = serve(ServiceOptions(), token=TOKEN)
    urls = [str(family.base_url).rstrip("/") + path for path in [*paths, find_photo_url(family)]]
    violations = []
    for url in [*urls, str(signed_out.base_url).rstrip("/") + "/sign-in"]:
        if url.endswith("/sign-in"):
            page = open_page(signed_out, "/sign-in", color_scheme=scheme)
        else:
            page.goto(url)
            page.wait_for_load_state("networkidle")
        for dialog in ("", *page.eval_on_selector_all("dialog[id]", "all => all.map((dialog) => dialog.id)")):
            if dialog:
                page.evaluate("id => document.getElementById(id).showModal()", dialog)
            page.evaluate(axe)
            result = page.evaluate("tags => axe.run(document, { runOnly: tags, resultTypes: ['violations'] })", RULES)
            violations += [
                (
                    url,
                    dialog,
                    violation["id"],
                    violation["nodes"][0]["html"],
                    violation["nodes"][0]["failureSummary"],
                )
                for violation in result["violations"]
            ]
            if dialog:
                page.evaluate("id => document.getElementById(id).close()", dialog)
    assert violations == []


@pytest.mark.parametrize("url", ["/", "/people/1"])
def test_the_first_view_is_small(family: httpx.Client, open_page: Open, url: str) -> None:
    page = open_page(family, url)
    page.wait_for_load_state("networkidle")
    sizes = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.transferSize)")
    size = sum(sizes) + len(family.get(url).content)
    assert size < MAX_FIRST_VIEW


def test_names_with_script_tags_are_shown_as_text(family: httpx.Client, open_page: Open) -> None:
    for name, script in (("Barack", '"><img src=x onerror=alert(1)>'), ("Eileen", "<script>alert(2)<b>")):
        assert family.patch(f"/api/v1/people/{name}", json={"name": script}).status_code == 200
    wait_for_decisions(family)
    page = open_page(family)
    for url in ("/", "/people/1", "/people/2", "/who", "/look-alikes", "/add"):
        page.goto(str(family.base_url).rstrip("/") + url)
        page.wait_for_load_state("networkidle")
        assert page.locator("img[src=x]").count() == 0
    page.set_input_files("input[type=file]", DEMO_PHOTOS / "eileen_collins.jpg")
    page.locator("[data-added] a").wait_for()
    assert page.locator("[data-added] b").count() == 0


def test_a_key_signs_in_until_signing_out(serve: Serve, open_page: Open) -> None:
    client = serve(token=TOKEN)
    page = open_page(client, "/people/1")
    page.get_by_label("Key").fill(TOKEN)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Barack").wait_for()  # the requested page
    assert page.evaluate("document.cookie") == ""  # no script can read it
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Key").wait_for()


def test_every_control_is_reachable_by_keyboard_with_visible_focus(family: httpx.Client, open_page: Open) -> None:
    page = open_page(family)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    reached_links = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached_links.add(page.evaluate("document.activeElement.getAttribute('href')"))
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid" or page.evaluate("document.activeElement === document.body")
    assert {"/", "/who", "/look-alikes", "/add", "/settings", "/people/1", "/people/2"} <= reached_links


def test_html_in_names_notes_files_and_folders_is_inert(hostile_client: httpx.Client, open_page: Open) -> None:
    page = open_page(hostile_client, "/")
    person_links = re.findall(r'href="(/people/\d+)"', hostile_client.get("/").text)
    photos = [
        link for person in person_links for link in re.findall(r'href="(/photos/\w+)"', hostile_client.get(person).text)
    ]
    assert photos
    for url in (*person_links, *photos, "/look-alikes", "/add", "/settings", "/who"):
        page.goto(str(hostile_client.base_url).rstrip("/") + url)
        for summary in page.locator("summary").all():
            summary.click()
        for opener in page.locator("[data-opens]").all():
            opener.click()
            page.keyboard.press("Escape")
        assert page.locator("img[src=x], script:not([src^='/static/']), svg[onload]").count() == 0
    wait_for_question(page)
    page.locator("[data-name-form] input").fill("<img src=x onerror=alert(1)>")
    page.keyboard.press("Enter")
    page.get_by_text("<img src=x onerror=alert(1)>: 1 face. Learned.").wait_for()
    page.goto(str(hostile_client.base_url).rstrip("/") + "/add")
    page.get_by_label("Choose photos").set_input_files(str(DEMO_PHOTOS / "barack_obama_speech.jpg"))
    page.locator("[data-added] li").get_by_text(re.compile("<img src=x|<script")).first.wait_for()
    assert page.locator("img[src=x], script:not([src^='/static/'])").count() == 0
