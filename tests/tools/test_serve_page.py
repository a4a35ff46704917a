"""The page in a real browser: photos dropped, answers seen, nothing asked from anywhere else."""

from __future__ import annotations

import base64
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from configs.common import Common
from configs.serve import LimitSpec, Serve
from tests.tools.page_client import serving
from tests.tools.page_models import CLASSES, TASKS, make_models, photo
from tests.tools.runs import ROOT
from tools.service.opening import open_service
from tools.service.server import Service

pytestmark = pytest.mark.slow

# A webcam's next picture may take the place of one that is being decoded, which ends that.
DECODED = """async picture => {
    for (let left = 20; ; left--)
        try { return await picture.decode() }
        catch (error) { if (!left) throw error; await new Promise(go => setTimeout(go, 50)) }
}"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
TITLES = dict(
    zip(TASKS, ("Classes", "Objects", "Face attributes", "Faces", "Places"), strict=True)
)
WAIT = 300_000  # Milliseconds: other programs may keep a machine busy.
TIMES = "\N{MULTIPLICATION SIGN}"
DROP = """([target, files]) => {
    const held = new DataTransfer();
    for (const [name, data] of files) {
        const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
        held.items.add(new File([bytes], name));
    }
    for (const kind of ["dragover", "drop"]) {
        const event = new DragEvent(kind, { dataTransfer: held, bubbles: true, cancelable: true });
        document.querySelector(target).dispatchEvent(event);
    }
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    models = make_models(tmp_path_factory.mktemp("runs"))
    limits = LimitSpec(megabytes=1, megapixels=2)
    served, _ = open_service(
        Serve(models=tuple(models), port=0, limits=limits, common=Common(device="cpu"))
    )
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser is installed (looked for {', '.join(BROWSERS)})")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", *CAMERA], timeout=WAIT
        )
        yield opened
        opened.close()


class Watched:
    """A page, and what it did behind one's back."""

    def __init__(self, page: Page, server: Service) -> None:
        self.page, self.server = page, server
        page.set_default_timeout(WAIT)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._request)
        page.goto(server.url)
        page.wait_for_selector("#model option", state="attached")

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _request(self, request: Request) -> None:
        self.asked.append(request.url)

    def drop(self, *files: tuple[str, bytes], target: str = ".drop") -> None:
        """Drop files on the page."""
        coded = [[name, base64.b64encode(data).decode()] for name, data in files]
        self.page.evaluate(DROP, [target, coded])

    def wait(self, state: str) -> None:
        """Until the page is in a state."""
        self.page.wait_for_selector(f"body[data-state={state}]", timeout=WAIT)

    def sees(self, what: str, text: str) -> None:
        """Wait until an element holds a text."""
        expect(self.page.locator(what)).to_contain_text(text, timeout=WAIT)

    def text(self, what: str) -> str:
        """Of an element, as it is seen."""
        return self.page.locator(what).inner_text()

    def picture_width(self) -> int:
        """Of the drawn answer, in its own pixels; 0 while it is not shown."""
        picture = self.page.locator("#drawing")
        picture.evaluate(DECODED)
        assert picture.is_visible()
        return int(picture.evaluate("picture => picture.naturalWidth"))


@pytest.fixture
def watched(browser: Browser, server: Service) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1200, "height": 850})
    found = Watched(context.new_page(), server)
    yield found
    context.close()
    assert found.complaints == []
    own = (server.url, f"blob:{server.url}", "data:image/jpeg;")
    assert [url for url in found.asked if not url.startswith(own)] == []


@pytest.mark.parametrize("task", TASKS)
def test_a_dropped_photo_is_answered(watched: Watched, task: str) -> None:
    page = watched.page
    page.get_by_role("combobox", name="Task").select_option(TITLES[task])
    assert task in page.get_by_role("combobox", name="Model").inner_text()
    assert "MobileNet 0.1" in watched.text("#about")
    files = [("one.jpg", photo(1)), ("two.jpg", photo(2))][: 1 + (task == "face_embedding")]
    watched.drop(*files)
    watched.wait("answered")
    assert watched.picture_width() >= 400
    summary, alternative = watched.text("#summary"), page.get_attribute("#drawing", "alt")
    assert summary
    assert alternative is not None
    assert alternative.startswith(summary)
    for stage in ("decode", "network", "draw", "in all"):
        assert re.search(rf"{stage}\s+[\d.]+ ms", watched.text("#times"))
    assert page.locator("#numbers tbody tr").count() >= (3 if task != "detection" else 1)
    assert bool(watched.text("#note")) == (task in TASKS[2:])
    assert "one.jpg" in watched.text("#slots")
    shown = page.locator(".thumb").first.evaluate("image => image.naturalWidth")
    assert shown > 0
    assert watched.text("#error") == ""


def test_a_photo_is_asked_about_again_with_another_model(watched: Watched) -> None:
    watched.drop(("one.png", photo(1, "PNG")), target="body")  # Beside the field, too.
    watched.wait("answered")
    assert watched.text("#summary") in CLASSES  # <b> is a name, no letter in bold.
    assert watched.page.locator("#numbers b").count() == 0
    watched.page.get_by_role("combobox", name="Task").select_option("Places")
    watched.sees("#numbers", "S2 token")
    assert "confidence" in watched.text("#detail")
    watched.page.get_by_role("combobox", name="Task").select_option("Faces")
    watched.wait("empty")
    assert "Two images" in watched.text("#status")
    assert not watched.page.locator("#answer").is_visible()


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("text.jpg", b"I am a text", "not an image"),
        ("cut.jpg", photo()[:3000], "truncated"),
        ("large.jpg", bytes(1_200_000), "1.2 MB"),
    ],
)
def test_bad_files_are_explained(watched: Watched, name: str, data: bytes, word: str) -> None:
    watched.drop((name, data))
    watched.wait("failed")
    assert word in watched.page.get_by_role("alert").inner_text()
    watched.complaints.clear()  # Browsers log every refusal.
    watched.drop(("good.jpg", photo()))
    watched.wait("answered")
    assert not watched.page.get_by_role("alert").is_visible()


def test_keys_are_enough(watched: Watched) -> None:
    page = watched.page
    # Asked for only when awaited, the browser may open the chooser before it knows of the wish.
    page.on("filechooser", lambda _: None)
    page.get_by_role("combobox", name="Task").focus()
    for reached in ("#model", "input[type=file]", "#webcam"):
        page.keyboard.press("Tab")
        expect(page.locator(reached)).to_be_focused(timeout=WAIT)
    page.keyboard.press("Shift+Tab")
    expect(page.locator(".drop")).to_have_css("outline-style", "solid", timeout=WAIT)  # It shows.
    with page.expect_file_chooser(timeout=WAIT) as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files({"name": "k.jpg", "mimeType": "image/jpeg", "buffer": photo()})
    watched.wait("answered")
    page.locator(".scroll").focus()
    expect(page.get_by_role("region", name="Numbers")).to_be_focused(timeout=WAIT)


def test_the_webcam_is_watched_until_it_is_stopped(watched: Watched) -> None:
    page = watched.page
    page.get_by_role("button", name="Use the webcam").click()
    watched.wait("live")
    assert watched.picture_width() >= 640
    first = page.get_attribute("#drawing", "src") or ""
    expect(page.locator("#drawing")).not_to_have_attribute("src", first, timeout=WAIT)
    assert f"640 {TIMES} 480" in watched.text("#size")
    page.get_by_role("combobox", name="Task").select_option("Objects")
    watched.sees("#numbers", "height")
    page.evaluate("window.track = document.querySelector('video').srcObject.getTracks()[0]")
    page.keyboard.press("Escape")
    watched.wait("answered")
    assert page.evaluate("window.track.readyState") == "ended"
    assert page.get_by_role("button", name="Use the webcam").is_visible()
    watched.drop(("one.jpg", photo()))
    watched.sees("#size", "360")


def test_the_webcam_is_compared_with_a_photo(watched: Watched) -> None:
    page = watched.page
    page.get_by_role("combobox", name="Task").select_option("Faces")
    watched.drop(("one.jpg", photo()))
    watched.wait("empty")
    page.get_by_role("button", name="Use the webcam").click()
    watched.wait("live")
    assert f"360 {TIMES} 270 and 640 {TIMES} 480" in watched.text("#size")
    assert watched.text("#summary") in ("Same person", "Another person")
    page.get_by_role("button", name="Stop the webcam").click()
    watched.wait("answered")


def test_a_busy_or_lost_server_is_told_of(watched: Watched) -> None:
    page = watched.page
    busy = {"status": 503, "json": {"error": "too many photos at once"}}
    page.route("**/v1/predict*", lambda route: route.fulfill(**busy))
    watched.drop(("one.jpg", photo()))
    watched.wait("failed")
    assert "too many" in page.get_by_role("alert").inner_text()
    page.unroute("**/v1/predict*")
    page.route("**/v1/predict*", lambda route: route.abort())
    page.get_by_role("combobox", name="Task").select_option("Objects")
    watched.sees("#error", "No answer")
    watched.complaints.clear()


def test_a_token_is_asked_for(browser: Browser, tmp_path: Path) -> None:
    """And kept by the page alone."""
    file = tmp_path / "token"
    file.write_text("a-token-of-this-test")
    (model,) = make_models(tmp_path, TASKS[:1])
    config = Serve(models=(model,), port=0, token_file=file, common=Common(device="cpu"))
    served, _ = open_service(config)
    with serving(served):
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        page.goto(served.url)
        page.get_by_label("Token of this service").fill("another")
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("alert")).to_contain_text("token is wrong", timeout=WAIT)
        assert not page.locator("#choice").is_visible()
        assert not page.locator("#webcam").is_visible()
        page.get_by_label("Token of this service").fill("a-token-of-this-test")
        page.keyboard.press("Enter")
        expect(page.locator("#model")).to_be_visible(timeout=WAIT)
        assert not page.locator("#entry").is_visible()
        assert not page.get_by_role("alert").is_visible()
        coded = [["one.jpg", base64.b64encode(photo()).decode()]]
        page.evaluate(DROP, [".drop", coded])
        page.wait_for_selector("body[data-state=answered]")
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
            0,
            0,
            "",
        ]
        page.close()


def test_a_phone_is_wide_enough(browser: Browser, server: Service) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    watched = Watched(context.new_page(), server)
    for task in ("Classes", "Objects", "Faces", "Places"):
        watched.page.get_by_role("combobox", name="Task").select_option(task)
        watched.drop(("a.jpg", photo(1)), ("b.jpg", photo(2)))
        watched.wait("answered")
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= 360
        for button in watched.page.locator("button:visible, select:visible").all():
            box = button.bounding_box()
            assert box is not None
            assert box["height"] >= 44  # A finger's width.
    context.close()
    assert watched.complaints == []


def luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb, as WCAG 2.2 defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * one for one in colour[1:])
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read(scheme: int) -> None:
    """WCAG's contrast of 4.5 for text, by day and by night."""
    style = Path(ROOT / "tools/page/page.css").read_text()
    block = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", block))
    pairs = [(text, ground) for text in ("text", "soft") for ground in ("ground", "card", "tint")]
    pairs += [("accent", "ground"), ("on-accent", "accent"), ("bad", "bad-ground")]
    for text, ground in pairs:
        low, high = sorted((luminance(colours[text]), luminance(colours[ground])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)
