"""The page: its figures are the measured ones, it asks for nothing, and text stays text."""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64encode
from hashlib import sha256

import pytest
import rasterio
from page_reader import Page, asked_for
from report_ground import place
from sklearn.metrics import jaccard_score

from cryonet.report.page import _km2, _share
from cryonet.report_workflow import run_report

EVIL = '</title><script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture(scope="module")
def page(shared):
    run_report(shared.map, shared.where / "page.html", correlation=100)
    return Page((shared.where / "page.html").read_text(encoding="utf-8"))


def undated(source: str) -> str:
    return re.sub(r"Page made on [\d-]{10}", "", source)


def cells(path, name):
    with rasterio.open(path / f"{name}.tif") as file:
        return file.read().squeeze()


def made(placed, **options) -> Page:
    out = run_report(placed.map, placed.where / "page.html", **options)
    return Page(out.read_text(encoding="utf-8"))


def test_nothing_is_asked_of_network_or_disk(page):
    assert asked_for(page) == []
    (policy,) = [a["content"] for t, a in page.tags if a.get("http-equiv", "").startswith("Con")]
    assert "default-src 'none'; img-src data:;" in policy
    (script,) = page.scripts
    assert b64encode(sha256(script.encode()).digest()).decode() in policy
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]


def test_tables_hold_what_plain_counts_give(page, shared):
    codes, labels = cells(shared.map, "classes"), cells(shared.scene, "labels")
    shares = cells(shared.map, "probabilities") / 250
    known, ice = codes != 255, (codes == 1).sum() * 1e-4
    expected = shares[1][known].sum() * 1e-4
    area, _, share, mean, _ = page.row("Areas", "clean ice")
    assert (area, mean) == (f"{ice:.3f}", f"{expected:.3f}")
    assert share == f"{(codes == 1).sum() / known.sum():.1%}"
    counted = known & (labels != 255)
    scores = jaccard_score(labels[counted], codes[counted], average=None)
    assert page.row("All labels", "debris-covered ice")[0] == f"{scores[2]:.3f}"
    labelled, mapped = ((part[counted] == 2).sum() * 1e-4 for part in (labels, codes))
    shown = page.row("All labels", "debris-covered ice")[-2:]
    assert shown == [f"{labelled:.3f}", f"{mapped:.3f}"] and labelled != mapped
    heading = next(name for name in page.tables if name.startswith("Confusion"))
    truth = labels[counted] == 1
    hits = (codes[counted][truth] == 1).sum()
    assert page.row(heading, "clean ice")[1] == f"{hits:,} {hits / truth.sum():.1%}"
    confidence = cells(shared.map, "confidence")[known] / 250
    low = (confidence < 0.5).mean()
    assert page.row("Confidence", "all") == [f"{confidence.mean():.3f}", f"{low:.1%}"]
    elevation = cells(shared.scene, "elevation")
    first = page.tables["The table"][1]
    bottom, top = (int(word) for word in first[0].split(" to "))
    inside = (elevation >= bottom) & (elevation < top)
    for code in range(4):
        area = (inside & (codes == code)).sum() * 1e-4
        assert first[code + 1] == f"{area:.3f}"
    assert page.tables["The table"][-1][0] == "elevation unknown"


def test_it_tells_where_it_is_from(page, shared):
    for text in (
        "3 September 2020, 05:00 UTC",
        "cryonet predict bundle scene map --batch 2 --flips",
        "CryoNet demo, synthetic Poiqu",
        "The model was not trained on this scene",
        "arXiv:2605.21527",
        json.loads((shared.map / "passport.json").read_text())["scene"]["files"]["labels.tif"],
    ):
        assert text in page.text
    assert "Synthetic scene." not in page.text
    assert "trained on synthetic scenes" in page.text
    # The card, with its own headings below those of the page.
    assert "Without a family of layers" in page.text
    alts = [attrs["alt"] for tag, attrs in page.tags if tag == "img"]
    assert "How often pixels of a given probability are right" in alts


def test_text_of_files_stays_text(tmp_path):
    placed = place(
        tmp_path,
        properties={"title": EVIL, "cryonet:terms": EVIL, "cryonet:remarks": [EVIL]},
        model=EVIL,
        missing_families=[EVIL],
    )
    passport = json.loads((placed.map / "passport.json").read_text())
    passport["versions"] = {EVIL: EVIL}
    passport["bundle"]["title"] = EVIL
    (placed.map / "passport.json").write_text(json.dumps(passport))
    run_report(placed.map, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert asked_for(page) == [] and len(page.scripts) == 1
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert page.text.count(EVIL) >= 8


def test_a_synthetic_scene_says_so_before_all_else(tmp_path):
    placed = place(tmp_path, properties={"synthetic": True}, synthetic=1)
    run_report(placed.map, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.text.index("Synthetic scene.") < page.text.index("km²")
    assert page.text.lstrip().startswith("Synthetic: ")


def test_labels_used_in_training_are_no_test(placed):
    passport = json.loads((placed.map / "passport.json").read_text())
    training = passport["bundle"]["training"]
    training["scenes"][0]["id"] = "ground"
    training["config"]["split"] |= {"test": "west", "block": 16, "gap": 2}
    (placed.map / "passport.json").write_text(json.dumps(passport))
    run_report(placed.map, placed.where / "page.html")
    page = Page((placed.where / "page.html").read_text(encoding="utf-8"))
    assert {"Test pixels", "Validation pixels", "Training pixels"} <= set(page.tables)
    assert "Pixels that the model was trained on: not a test." in page.text


def test_without_scene_and_bundle_it_goes_on_and_says_so(placed):
    placed.scene.rename(placed.where / "moved")
    placed.bundle.rename(placed.where / "elsewhere")
    run_report(placed.map, placed.where / "page.html")
    page = Page((placed.where / "page.html").read_text(encoding="utf-8"))
    assert "scene is no longer where" in page.text and "bundle is no longer where" in page.text
    assert "All labels" not in page.tables and "The table" not in page.tables
    assert len(page.row("Areas", "clean ice")) == 5
    assert "BUNDLE-1 SCENE map" in page.text
    assert not any(str(placed.where) in value for value in (page.source, page.text))


def test_what_is_not_calibrated_is_said(placed):
    passport = json.loads((placed.map / "passport.json").read_text())
    passport["bundle"]["calibration"] = None
    (placed.map / "passport.json").write_text(json.dumps(passport))
    run_report(placed.map, placed.where / "page.html")
    text = Page((placed.where / "page.html").read_text(encoding="utf-8")).text
    assert "These probabilities are not calibrated" in text


def test_equal_input_gives_the_same_page(shared, page):
    again = run_report(shared.map, shared.where / "again.html", correlation=100)
    found = again.read_text(encoding="utf-8")
    # But for the day, which may change while tests run.
    assert undated(found) == undated(page.source) != found
    assert len(page.source) < 5e6


@pytest.mark.parametrize(
    ("value", "deviation", "shown"),
    [
        (216.04, 22.145, "216.0"),
        (22.145, 22.145, "22.1"),
        (56.929, 0.4, "56.929"),
        (1234.5678, None, "1,234.6"),
        (99.9, None, "99.900"),
        (0.0001, 0.00005, "< 0.001"),
        (0.0001, 1.5, "0.0"),
        (0.0, None, "0.000"),
    ],
)
def test_areas_are_as_exact_as_their_deviation(value, deviation, shown):
    assert _km2(value, deviation) == shown


def test_shares_that_are_not_nothing_do_not_read_so():
    assert [_share(v) for v in (0.0, 0.0004, 0.0006, 1.0, float("nan"))] == [
        "0.0%", "< 0.1%", "0.1%", "100.0%", "–",
    ]  # fmt: skip


def test_each_card_stands_under_the_name_of_its_own_model(placed):
    second = placed.where / "second"
    shutil.copytree(placed.bundle, second)
    manifest = json.loads((second / "manifest.json").read_text())
    told = {"title": "the second", "weights_sha256": "ab" * 32}
    (second / "manifest.json").write_text(json.dumps(manifest | told))
    (second / "CARD.md").write_text("# Card of the second\n")
    passport = json.loads((placed.map / "passport.json").read_text())
    one = passport.pop("bundle")
    passport["members"] = [one, one | told]
    (placed.map / "passport.json").write_text(json.dumps(passport))
    # Given the other way round than the passport has them.
    page = made(placed, bundles=[second, placed.bundle])
    names = ["the second: the model's card", "CryoNet demo, synthetic Poiqu: the model's card"]
    order = [page.text.index(text) for text in (names[0], "Card of the second", names[1])]
    assert order == sorted(order) and "bundle scene map" in page.text
    assert "--with second" in page.text


def test_only_the_network_of_the_paper_is_said_to_be_it(placed):
    assert "follows the abstract of that paper" in made(placed).text
    passport = json.loads((placed.map / "passport.json").read_text())
    passport["bundle"]["model"]["architecture"] = "unet"
    (placed.map / "passport.json").write_text(json.dumps(passport))
    assert "follows the abstract of that paper" not in made(placed, overwrite=True).text


def test_remarks_of_a_scene_that_are_none_are_left_alone(placed):
    item = json.loads((placed.scene / "scene.json").read_text())
    for odd in (5, "text", {"a": 1}, [5, "cloudy"]):
        item["properties"]["cryonet:remarks"] = odd
        (placed.scene / "scene.json").write_text(json.dumps(item))
        text = made(placed, overwrite=True).text
        assert ("Of the scene: cloudy" in text) == (odd == [5, "cloudy"])
        assert text.count("Of the scene:") <= 1


def test_half_a_surrogate_pair_does_not_stop_the_page(placed):
    passport = json.loads((placed.map / "passport.json").read_text())
    passport["bundle"]["title"] = "half \ud800 pair"
    (placed.map / "passport.json").write_text(json.dumps(passport))
    assert "half ? pair" in made(placed).text
