"""Which pairs of radar images are found, in what order, and what comes of a bad answer.

asf_search runs as it is, against a catalogue on loopback (see tests/asf_service.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asf_search
import pytest
from asf_service import CMR, Service, granule, lead_to
from pyproj import Geod
from shapely.geometry import Polygon, box

from cryonet.errors import CryonetError
from cryonet.progress import Cancelled
from cryonet.sources.bursts import can_be_joined
from cryonet.sources.pairs import BURST_AREA, DAYS, Pair, find_pairs, suggest_product

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]

AREA = (86.7, 27.8, 87.0, 28.1)
SUMMER = (date(2019, 6, 1), date(2019, 9, 30))
FIRST = datetime(2019, 7, 4, 12, 5)
Make = Callable[[list[dict[str, Any]]], Service]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return a function that lets the catalogue hold granules."""
    started: list[Service] = []

    def start(granules: list[dict[str, Any]]) -> Service:
        started.append(Service(granules))
        lead_to(started[-1], monkeypatch)
        return started[-1]

    yield start
    for service in started:
        service.close()


def scene(day: float, **options: Any) -> dict[str, Any]:
    outline = options.pop("outline", box(86, 27, 88.5, 29))
    return granule(outline, FIRST + timedelta(days=day), **options)


def bursts_of(day: float, *, slant: float = 0.0, **options: Any) -> list[dict[str, Any]]:
    """Bursts of three subswaths, 0.2° high and 0.5° wide, whose rows rise eastwards by `slant`."""
    made = []
    for row, swath in itertools.product(range(10), (1, 2, 3)):
        west, south = 86.1 + 0.5 * (swath - 1), 27.0 + 0.2 * row + slant * (swath - 1)
        when = FIRST + timedelta(days=day, seconds=-2.76 * row + 0.9 * swath)
        outline = box(west, south, west + 0.52, south + 0.22)
        # The newer satellite passes go south: the number falls with latitude.
        made.append(granule(outline, when, burst=(23790 - row, swath), **options))
    return made


def find(**options: Any) -> list[Pair]:
    options = {"months": (7, 8, 9), "product": "INSAR_GAMMA"} | options
    return find_pairs(options.pop("bbox", AREA), *options.pop("dates", SUMMER), **options)


def days(pairs: list[Pair]) -> list[tuple[int, int]]:
    """The pairs as days after the first."""
    first = FIRST.replace(tzinfo=UTC)
    return [
        ((pair.reference_time - first).days, (pair.secondary_time - first).days) for pair in pairs
    ]


def test_the_older_image_is_the_reference_and_the_shortest_pair_comes_first(serve: Make) -> None:
    # Names sort against time in CMR's answer: the newest comes first.
    serve([scene(day) for day in (36, 24, 12, 30)])
    pairs = find()
    assert days(pairs) == [(24, 30), (30, 36), (12, 24), (24, 36), (12, 30), (12, 36)][:5]
    for pair in pairs:
        assert pair.reference[0] < pair.secondary[0] and len(pair.reference) == 1
        assert pair.reference[0].startswith("S1A_IW_SLC__1SDV_2019")
        assert not pair.reference[0].endswith("-SLC")
        assert pair.days in DAYS and pair.track == 12 and pair.direction == "descending"
    assert [pair.days for pair in find(most=99)] == [6, 6, 12, 12, 18, 24]
    assert len(find(most=2)) == 2


def test_days_that_no_satellite_repeats_after_make_no_pair(serve: Make) -> None:
    serve([scene(day) for day in (0, 5, 13, 49)])
    with pytest.raises(CryonetError, match=r"no pair of images suits: 4 images .* 18 or 24 days"):
        find()


def test_a_pass_about_midnight_may_begin_a_second_earlier(serve: Make) -> None:
    midnight = datetime(2019, 7, 5)
    serve(
        [
            granule(box(86, 27, 88.5, 29), midnight + timedelta(days=day, seconds=late))
            for day, late in ((0, 1), (12, -1))
        ]
    )
    assert [pair.days for pair in find()] == [12]


def test_only_images_of_one_track_and_direction_are_paired(serve: Make) -> None:
    serve(
        [scene(day) for day in (0, 12)]
        + [scene(day, track=85) for day in (6, 18)]
        + [scene(day, direction="ASCENDING") for day in (0.5, 24.5)]
    )
    assert {(pair.track, pair.direction, pair.days) for pair in find()} == {
        (12, "descending", 12),
        (85, "descending", 12),
        (12, "ascending", 24),
    }


def test_both_images_lie_in_the_months_given_in_every_year(serve: Make) -> None:
    # The 30th of June, the 6th, 12th and 30th of July; August is not given.
    july = {(datetime(2019, 7, day) - FIRST).days for day in (6, 12, 30)}
    offsets = [*july, (datetime(2019, 6, 30) - FIRST).days, (datetime(2019, 8, 5) - FIRST).days]
    service = serve([scene(day) for day in [*offsets, 365 + 2, 365 + 8]])
    dates = (date(2019, 1, 1), date(2020, 7, 20))
    pairs = find(dates=dates, months=(7,))
    assert days(pairs) == [(1, 7), (367, 373), (7, 25), (1, 25)]
    assert {dict(form)["temporal"] for form in service.searches} == {
        "2019-07-01T00:00:00Z,2019-07-31T23:59:59Z,",
        "2020-07-01T00:00:00Z,2020-07-20T23:59:59Z,",
    }


def test_months_about_the_new_year_are_one_season(serve: Make) -> None:
    service = serve([granule(box(86, 27, 88, 29), datetime(2019, 12, day, 12)) for day in (24, 30)])
    service.granules.append(granule(box(86, 27, 88, 29), datetime(2020, 1, 5, 12)))
    pairs = find(dates=(date(2019, 7, 1), date(2020, 6, 1)), months=(12, 1))
    assert [pair.days for pair in pairs] == [6, 6, 12]
    spans = {dict(form)["temporal"] for form in service.searches}
    assert spans == {"2019-12-01T00:00:00Z,2020-01-31T23:59:59Z,"}


@pytest.mark.parametrize(("first", "second"), [(0, 87), (0, -140), (40, -33)])
def test_the_perpendicular_baseline_is_that_of_the_orbits(
    serve: Make, first: float, second: float
) -> None:
    serve([scene(0, baseline=first), scene(12, baseline=second)])
    (pair,) = find()
    assert pair.perpendicular == pytest.approx(second - first, abs=1)
    assert any(f"{abs(pair.perpendicular)} m, short" in reason for reason in pair.reasons)


def test_a_long_baseline_weighs_against_a_short_time(serve: Make) -> None:
    # 6 days and 400 m cost 0 + 400 / 150, 12 days and 10 m 1 + 10 / 150.
    serve([scene(0, baseline=0), scene(6, baseline=400), scene(12, baseline=10)])
    assert days(find())[0] == (0, 12)
    assert find()[0].cost == pytest.approx(1 + 10 / 150)


@pytest.mark.parametrize("lacks", ["SV_", "SV_VELOCITY_POST", "ASC_NODE_TIME"])
def test_an_orbit_that_is_not_listed_is_told(serve: Make, lacks: str) -> None:
    made = [scene(0), scene(6), scene(12)]
    stated = made[1]["umm"]["AdditionalAttributes"]
    stated[:] = [one for one in stated if not one["Name"].startswith(lacks)]
    serve(made)
    found = {pair.days: pair for pair in find()}
    assert found[12].perpendicular == 0 and found[6].perpendicular is None
    assert "perpendicular baseline not known" in found[6].reasons


def geodesic(shape: Any) -> float:
    return abs(Geod(ellps="WGS84").geometry_area_perimeter(shape)[0])


@pytest.mark.parametrize("north", [28.0, 80.0])
def test_coverage_is_the_share_of_the_ground_that_both_images_show(
    serve: Make, north: float
) -> None:
    bbox = (86.0, north - 4, 87.0, north)
    outlines = box(85, north - 5, 86.8, north + 1), box(85, north - 2.5, 88, north + 1.2)
    serve([scene(0, outline=outlines[0]), scene(6, outline=outlines[1])])
    (pair,) = find(bbox=bbox)
    both = box(*bbox).intersection(outlines[0]).intersection(outlines[1])
    assert pair.coverage == pytest.approx(geodesic(both) / geodesic(box(*bbox)), abs=0.004)


def test_a_pair_that_covers_more_comes_before_a_shorter_one(serve: Make) -> None:
    west = box(86, 27, 86.85, 29)
    serve([scene(0, outline=west), scene(6, outline=west), scene(1, track=9), scene(25, track=9)])
    pairs = find()
    assert days(pairs) == [(1, 25), (0, 6)]
    assert pairs[1].coverage == pytest.approx(0.5) and "covers 50% of the area" in pairs[1].reasons


def test_a_short_frame_within_a_long_one_makes_a_pair(serve: Make) -> None:
    short = box(86.5, 27.7, 87.2, 28.2)
    for outlines in ((short, box(86, 27, 88.5, 29)), (box(86, 27, 88.5, 29), short)):
        serve([scene(6 * at, outline=outline) for at, outline in enumerate(outlines)])
        assert find()[0].coverage == pytest.approx(1)


def test_frames_that_overlap_little_are_not_paired(serve: Make) -> None:
    serve([scene(0), scene(6, outline=box(86, 28.05, 88.5, 30.5))])
    with pytest.raises(CryonetError, match="no pair"):
        find()


def test_scenes_of_one_and_two_polarisations_are_found(serve: Make) -> None:
    serve([scene(0, polarisation="VV"), scene(12), scene(18, polarisation="HH")])
    assert days(find()) == [(0, 12)]


def test_a_scene_processed_twice_is_paired_once(serve: Make) -> None:
    serve([scene(0, digits="AAAA"), scene(0, digits="BBBB"), scene(12)])
    (pair,) = find()
    assert pair.reference[0].endswith("BBBB")


def test_an_area_at_the_180th_meridian_is_covered(serve: Make) -> None:
    outline = Polygon([(178, 60), (-178, 60), (-178, 64), (178, 64)])
    far = Polygon([(-180, 60), (-174, 60), (-174, 64), (-180, 64)])
    # The catalogue lists the second, too, if it is asked for what touches the meridian.
    serve(
        [scene(day, outline=outline, baseline=None) for day in (0, 6)]
        + [scene(day, outline=far, track=40, baseline=None) for day in (0.1, 6.1)]
    )
    (pair,) = find(bbox=(179, 61, 180, 62))
    assert pair.coverage == pytest.approx(1) and pair.track == 12


class TestBursts:
    def test_one_burst_is_paired_with_itself(self, serve: Make) -> None:
        serve(bursts_of(0) + bursts_of(6) + bursts_of(12, polarisation="VH"))
        pairs = find(product="INSAR_ISCE_BURST", most=99)
        for pair in pairs:
            (burst,) = pair.bursts
            _, number, swath = burst.split("_")
            for (name,), day in ((pair.reference, "20190704"), (pair.secondary, "20190710")):
                assert name.startswith(f"S1_{number}_{swath}_{day}") and "_VV_" in name
        assert len({pair.bursts for pair in pairs}) == len(pairs) > 2
        shares = [pair.coverage for pair in pairs]
        assert shares == sorted(shares, reverse=True)

    def test_all_bursts_of_the_area_make_one_pair(self, serve: Make) -> None:
        serve(bursts_of(0, baseline=0) + bursts_of(6, baseline=-50))
        (pair,) = find(product=None)
        assert pair.product == "INSAR_ISCE_MULTI_BURST"
        # Rows 3 to 5 lie between 27.6° and 28.22°, subswath 2 between 86.6° and 87.12°.
        assert pair.bursts == tuple(f"012_{number:06d}_IW2" for number in range(23785, 23788))
        for names in (pair.reference, pair.secondary):
            assert [name[3:13] for name in names] == [burst[4:] for burst in pair.bursts]
        assert pair.coverage == pytest.approx(1) and pair.perpendicular == pytest.approx(-50, abs=1)
        assert "same track 12, descending, VV, same 3 bursts" in pair.reasons

    def test_bursts_are_joined_as_the_service_demands(self, serve: Make) -> None:
        # Aslant, a low wide area meets one row of IW1 and one two rows on of IW3.
        service = serve(bursts_of(0, slant=0.3) + bursts_of(12, slant=0.3))
        bbox = (86.2, 27.85, 87.5, 27.95)
        (pair,) = find(bbox=bbox, product="INSAR_ISCE_MULTI_BURST")
        assert can_be_joined(pair.bursts) and pair.coverage == pytest.approx(1)
        place = next(box(*map(float, value.split(","))) for value in boxes(service))
        assert place.contains(box(*bbox)) and place.bounds[3] - bbox[3] == pytest.approx(0.4)
        singles = find(bbox=bbox, product="INSAR_ISCE_BURST", most=99)
        assert not can_be_joined({pair.bursts[0] for pair in singles})

    def test_a_pass_that_ends_in_the_area_is_paired_as_far_as_it_goes(self, serve: Make) -> None:
        whole = bursts_of(0)
        ends = [one for one in bursts_of(6) if int(one["umm"]["GranuleUR"][3:9]) >= 23786]
        serve(whole + ends)
        (pair,) = find(product="INSAR_ISCE_MULTI_BURST")
        assert [burst[4:10] for burst in pair.bursts] == ["023786", "023787"]
        assert 0.3 < pair.coverage < 0.9

    def test_too_many_bursts_are_refused(self, serve: Make) -> None:
        serve(bursts_of(0) + bursts_of(6))
        with pytest.raises(CryonetError, match=r"needs too many bursts: \d+\. .*INSAR_GAMMA"):
            find(bbox=(86.2, 27.3, 87.5, 28.9), product="INSAR_ISCE_MULTI_BURST")


def boxes(service: Service) -> list[str]:
    return [dict(form)["bounding_box"] for form in service.searches]


class TestTheCatalogue:
    def test_answers_of_many_pages_are_read_whole(
        self, serve: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("asf_search.CMR.translate.CMR_PAGE_SIZE", 3)
        monkeypatch.setattr("asf_search.constants.INTERNAL.CMR_PAGE_SIZE", 3)
        service = serve([scene(6 * count) for count in range(8)])
        assert [pair.days for pair in find(most=99)].count(6) == 7
        pages = [form for form in service.searches if dict(form)["page_size"] == "3"]
        assert len(pages) == 3 + 1  # of two polarisations

    def test_an_answer_that_lacks_images_is_refused(self, serve: Make) -> None:
        service = serve([scene(6 * count) for count in range(4)])
        service.withheld = 1
        with pytest.raises(CryonetError, match="not complete: 3 of 4 images"):
            find()
        assert {host for _, host, _ in service.asked} == {CMR}

    @pytest.mark.parametrize(
        ("status", "body", "words"),
        [
            (400, '{"errors": ["temporal is odd"]}', r"refuses: cmr\.earth.*temporal is odd"),
            (503, '{"errors": ["at rest"]}', r"does not answer: cmr\.earth.*at rest"),
            (502, "<html>", r"does not answer: cmr\.earth.*Check the network"),
            (200, "<html>", r"does not answer: cmr\.earth"),
            (200, "{}", r"does not answer: cmr\.earth.*hits"),
        ],
    )
    def test_what_it_refuses_is_told_and_reported_to_nobody(
        self, serve: Make, monkeypatch: pytest.MonkeyPatch, status: int, body: str, words: str
    ) -> None:
        monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
        service = serve([scene(0), scene(6)])
        service.failures[CMR] = (status, body)
        with pytest.raises(CryonetError, match=words):
            find()
        assert {host for _, host, _ in service.asked} == {CMR}
        assert asf_search.REPORT_ERRORS is True

    def test_nothing_that_answers_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lead_to(None, monkeypatch)
        with pytest.raises(CryonetError, match=r"does not answer: cmr\.earth.*Check the network"):
            find()

    def test_another_host_can_be_asked(self, serve: Make) -> None:
        service = serve([])
        with pytest.raises(CryonetError, match=r"does not answer: cmr\.uat"):
            find(host="cmr.uat.earthdata.nasa.gov")
        assert {host for _, host, _ in service.asked} == {"cmr.uat.earthdata.nasa.gov"}

    def test_too_many_images_are_not_read(
        self, serve: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("cryonet.sources.radar.MOST_IMAGES", 3)
        service = serve([scene(6 * count) for count in range(4)])
        with pytest.raises(CryonetError, match=r"too many images: 4\. At most 3"):
            find()
        assert {dict(form)["page_size"] for form in service.searches} == {"0"}

    @pytest.mark.parametrize(
        ("name", "value"),
        [("ASCENDING_DESCENDING", "SIDEWAYS"), ("PATH_NUMBER", "NA"), ("BURST_ID_FULL", "NA")],
    )
    def test_an_image_of_which_too_little_is_stated_is_refused(
        self, serve: Make, name: str, value: str
    ) -> None:
        made = bursts_of(0)
        for one in made:
            for attribute in one["umm"]["AdditionalAttributes"]:
                if attribute["Name"] == name:
                    attribute["Values"] = [value]
        serve(made)
        with pytest.raises(CryonetError, match=r"does not state the \w+ of an image: S1_0237"):
            find(product="INSAR_ISCE_BURST")

    def test_progress_counts_images_and_stops(self, serve: Make) -> None:
        class Steps:
            def __init__(self, stop: bool) -> None:
                self.seen: list[tuple[int, int, str]] = []
                self.stop = stop

            def step(self, done: int, total: int, message: str = "") -> None:
                self.seen.append((done, total, message))
                if self.stop and message == "reading images":
                    raise Cancelled("asked to")

        serve([scene(6 * count) for count in range(4)])
        steps = Steps(stop=False)
        find(progress=steps)
        assert steps.seen[0] == (0, 1, "counting images")
        assert steps.seen[-1] == (4, 4, "reading images")
        with pytest.raises(Cancelled):
            find(progress=Steps(stop=True))
        assert asf_search.REPORT_ERRORS is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bbox": (87, 27, 86, 28)}, "the area is none"),
        ({"bbox": (86, 27, 87, float("nan"))}, "the area is none"),
        ({"bbox": (170, 27, 190, 28)}, "the area is none"),
        ({"dates": SUMMER[::-1]}, "in no order: 2019-09-30/2019-06-01"),
        ({"months": ()}, "months are not those of a year"),
        ({"months": (0, 7)}, "months are not those of a year"),
        ({"months": (1,)}, "no day lies in the months"),
        ({"product": "INSAR_ISCE"}, "no such product: INSAR_ISCE. Choose from INSAR_GAMMA"),
        ({"most": 0}, "no pair was asked for"),
    ],
)
def test_what_breaks_a_rule_is_refused_before_anyone_is_asked(
    serve: Make, options: dict[str, Any], words: str
) -> None:
    service = serve([scene(0), scene(6)])
    with pytest.raises(CryonetError, match=words):
        find(**options)
    assert service.asked == []


def test_the_size_of_an_area_decides_between_bursts_and_scenes() -> None:
    # One degree of the equator is 111.32 km, one of its meridian 110.57 km.
    side = (BURST_AREA / (111.32 * 110.57)) ** 0.5
    small, large = 0.998 * side, 1.002 * side
    assert suggest_product((10, 0, 10 + small, small))[0] == "INSAR_ISCE_MULTI_BURST"
    product, reason = suggest_product((10, 0, 10 + large, large))
    assert product == "INSAR_GAMMA" and "our limit" in reason
