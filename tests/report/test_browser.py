"""The page in a real browser: it asks for nothing, complains of nothing, and fits a phone."""

from __future__ import annotations

import pytest

from cryonet.report_workflow import run_report

pytestmark = [pytest.mark.browser, pytest.mark.network, pytest.mark.enable_socket]


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_whole_at_every_width(browser, placed, width, scheme):
    out = run_report(placed.map, placed.where / "page.html")
    page = browser.new_page(viewport={"width": width, "height": 780}, color_scheme=scheme)
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(out.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    broken = "[...document.images].filter(one => !one.complete || !one.naturalWidth).length"
    assert page.evaluate(broken) == 0
    for name in ("labels", "wrong", "none", "classes"):
        page.click(f"label[for=over-{name}]")
        shown = [page.is_visible(f"img.over.{one}") for one in ("classes", "labels", "wrong")]
        assert shown == [one == name for one in ("classes", "labels", "wrong")]
        assert page.is_visible(".legend .wrong") == (name == "wrong")
    page.click("label[for=ground-picture]")
    assert page.is_visible("img.ground.picture") and not page.is_visible("img.ground.relief")
    page.fill("#strength", "30")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.over.classes')).opacity") == "0.3"
    )
    page.close()
    assert said == [] and [url for url in asked if not url.startswith("data:")] == [out.as_uri()]
