"""One walk through the dashboard in a real browser, with every outside request refused."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.network, pytest.mark.enable_socket]

#: The map is slow on a busy machine; a test that waits is not a test that fails.
PATIENCE = 240_000  # milliseconds: a busy machine is slow, not broken


@pytest.fixture(scope="module")
def artefacts() -> Path:
    where = Path(os.environ.get("CRYONET_ARTEFACTS", Path(__file__).parents[1] / "artefacts"))
    where.mkdir(parents=True, exist_ok=True)
    return where


@pytest.fixture(scope="module", autouse=True)
def _patience() -> None:
    expect.set_options(timeout=PATIENCE / 4)


class Visit:
    """A page with its record: what it asked for outside, what it complained of, its tiles."""

    def __init__(self, page: Page, home: str) -> None:
        self.page, self.home = page, home
        self.outside: list[str] = []
        self.complaints: list[str] = []
        self.tiles: list[str] = []
        page.route("**/*", self._gate)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("response", self._answered)
        page.on("websocket", lambda ws: self._outside(ws.url.replace("ws://", "http://")))
        page.set_default_timeout(PATIENCE)
        page.goto(home)
        page.wait_for_selector(".leaflet-tile-loaded", state="attached")
        self.settle(2)

    def _outside(self, url: str) -> bool:
        if url.startswith((self.home, "data:", "blob:")):
            return False
        self.outside.append(url)
        return True

    def _gate(self, route) -> None:
        if self._outside(route.request.url):
            route.abort()
        else:
            route.continue_()

    def _said(self, message) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _answered(self, response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status} {response.url}")
        if found := re.search(r"/tiles/([^/]+)/", response.url):
            self.tiles.append(found[1])

    def settle(self, images: int, quiet: float = 1.5) -> None:
        """Wait for tiles of `images` different images, and until none has come for a while."""
        count, begin = -1, time.monotonic()
        since = begin
        while time.monotonic() - since < quiet or len(set(self.tiles)) < images:
            assert time.monotonic() - begin < PATIENCE / 1000, f"{set(self.tiles)}"
            if len(self.tiles) != count:
                count, since = len(self.tiles), time.monotonic()
            self.page.wait_for_timeout(100)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a rectangle on the map; corners as shares of its width and height."""
        box = self.page.locator(".leaflet-container").bounding_box()
        corners = [
            (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)
        ]
        self.page.locator(".leaflet-draw-draw-rectangle").click()
        self.page.mouse.move(*corners[0])
        self.page.mouse.down()
        self.page.mouse.move(*corners[1], steps=6)
        self.page.mouse.up()

    def areas(self) -> dict[str, tuple[float, float]]:
        """The table of areas: mapped and labelled km² by class."""
        rows = self.page.locator("tbody tr").all_inner_texts()
        cells = [row.split("\t") for row in rows]
        return {c[0].strip(): (float(c[1]), float(c[2])) for c in cells}


@pytest.fixture
def visit(browser, served):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    made = Visit(page, served.url)
    yield made
    assert made.outside == []
    assert made.complaints == []
    page.close()


def test_from_the_finished_map_to_an_own_one(visit, served, artefacts):
    page = visit.page
    # It opens on a finished map.
    assert page.title() == "cryonet: Synthetic teaching scene in the manner of the Poiqu basin"
    expect(page.locator(".badge")).to_have_text("Synthetic")
    assert "true-colour" in visit.tiles
    assert len(set(visit.tiles)) == 2, "the image and the opened map, nothing unseen"
    whole = visit.areas()
    assert list(whole) == [
        "Other ground", "Clean ice", "Debris-covered ice", "Glacial lake", "Total",
    ]  # fmt: skip
    assert whole["Total"][1] == pytest.approx(3.2 * 3.2, rel=0.02)
    page.screenshot(path=artefacts / "dashboard.png")

    # Images and overlays.
    for title, name in (("False colour", "false-colour"), ("Relief", "hillshade")):
        page.get_by_role("button", name=title).click()
        visit.settle(len(set(visit.tiles)) + 1)
        assert name in visit.tiles
    page.get_by_role("button", name="True colour").click()
    page.get_by_text("Labels", exact=True).click()
    page.get_by_text("Confidence", exact=True).click()
    visit.settle(6)
    assert "labels" in visit.tiles
    assert len(set(visit.tiles)) == 6
    expect(page.get_by_text("unsure")).to_be_visible()
    page.get_by_text("Confidence", exact=True).click()
    page.get_by_text("Labels", exact=True).click()

    # Without a rectangle the page says what to do.
    page.get_by_role("button", name="Drawn rectangle").click()
    page.get_by_role("button", name="Run inference").click()
    expect(page.get_by_text("no rectangle is drawn")).to_be_visible()

    # A rectangle, a run with progress, a map with areas.
    visit.drag((0.42, 0.35), (0.58, 0.55))
    expect(page.get_by_text(re.compile(r"^\d\.\d × \d\.\d km$"))).to_be_visible()
    expect(page.get_by_text("no rectangle is drawn")).to_be_hidden()
    expect(page.get_by_text("Runs on CPU")).to_be_visible()
    page.get_by_role("button", name="Run inference").click()
    expect(page.get_by_text(re.compile(r"\d+ of \d+ tiles"))).to_be_visible()
    page.screenshot(path=artefacts / "dashboard-running.png")
    expect(page.get_by_text(re.compile(r"^Run 1, "))).to_be_visible()
    visit.settle(7)
    part = visit.areas()
    assert 0.1 < part["Total"][0] < 0.5 * whole["Total"][0]
    assert part["Total"][0] == pytest.approx(part["Total"][1], rel=0.2)
    assert len(set(visit.tiles)) == 7
    page.screenshot(path=artefacts / "dashboard-run.png")

    # The whole view, cancelled: the map stays as it was.
    page.get_by_role("button", name="Current view").click()
    page.get_by_role("button", name="Run inference").click()
    expect(page.get_by_text(re.compile(r"[1-9]\d* of \d+ tiles"))).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled; the map is unchanged.")).to_be_visible()
    assert visit.areas() == part

    page.get_by_role("tab", name="About").click()
    expect(page.get_by_text("Untrained network").last).to_be_visible()
    assert "Traceback" not in served.log.read_text()


def test_a_small_screen(browser, served, artefacts):
    page = browser.new_page(viewport={"width": 420, "height": 800})
    visit = Visit(page, served.url)
    page.screenshot(path=artefacts / "dashboard-small.png")
    assert (visit.outside, visit.complaints) == ([], [])
    page.close()
