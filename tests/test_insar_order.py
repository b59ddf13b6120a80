"""Orders at HyP3: the lines that are printed, and the same order sent.

hyp3_sdk runs as it is, against a login and a service on loopback (see tests/asf_service.py).
"""

from __future__ import annotations

import ast
import inspect
import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hyp3_sdk
import pytest
from asf_service import CUMULUS, HYP3, URS, Service, lead_to
from rich.console import Console

from cryonet.errors import CryonetError
from cryonet.insar_order import LOOKS, order_calls, order_lines, submit_order
from cryonet.insar_order_table import pairs_table
from cryonet.sources.pairs import Pair

network = [pytest.mark.network, pytest.mark.enable_socket]

OLD, NEW = "20190704T120500", "20190716T120501"
SCENES = Pair(
    product="INSAR_GAMMA",
    reference=(f"S1A_IW_SLC__1SDV_{OLD}_20190704T120527_027966_032878_9AB0",),
    secondary=(f"S1A_IW_SLC__1SDV_{NEW}_20190716T120528_028141_032DC0_1F2E",),
    reference_time=datetime(2019, 7, 4, 12, 5, tzinfo=UTC),
    secondary_time=datetime(2019, 7, 16, 12, 5, 1, tzinfo=UTC),
    track=12,
    direction="descending",
    polarisation="VV",
    bursts=(),
    perpendicular=-43,
    coverage=0.976,
)
BURST = replace(
    SCENES,
    product="INSAR_ISCE_BURST",
    reference=(f"S1_023787_IW2_{OLD}_VV_7C85-BURST",),
    secondary=(f"S1_023787_IW2_{NEW}_VV_5D11-BURST",),
    bursts=("012_023787_IW2",),
)
JOINED = replace(
    BURST,
    product="INSAR_ISCE_MULTI_BURST",
    reference=tuple(f"S1_0237{number}_IW2_{OLD}_VV_7C85-BURST" for number in (86, 87)),
    secondary=tuple(f"S1_0237{number}_IW2_{NEW}_VV_5D11-BURST" for number in (86, 87)),
    bursts=("012_023786_IW2", "012_023787_IW2"),
    perpendicular=None,
)
PAIRS = [SCENES, BURST, JOINED]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Service]:
    """The login and the service; the user has a netrc file with the right password."""
    started = Service([])
    lead_to(started, monkeypatch)
    write_netrc(tmp_path, monkeypatch, "secret")
    yield started
    started.close()


def write_netrc(folder: Path, monkeypatch: pytest.MonkeyPatch, password: str | None) -> None:
    file = folder / "netrc"
    text = f"machine {URS} login someone password {password}\n" if password else ""
    file.write_text(text)
    monkeypatch.setenv("NETRC", str(file))
    for name in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.product)
def test_every_keyword_is_one_of_the_library_s_own(pair: Pair) -> None:
    for looks in LOOKS[pair.product]:
        (call,) = order_calls([pair], looks=looks)
        method = getattr(hyp3_sdk.HyP3, call.method)
        inspect.signature(method).bind(**call.keywords)
        job = method(**call.keywords)
        assert job["job_type"] == pair.product and job["job_parameters"]["looks"] == looks
        assert job["job_parameters"]["apply_water_mask"] is False


def test_looks_are_those_that_the_library_states() -> None:
    for pair in PAIRS:
        (call,) = order_calls([pair])
        found = inspect.signature(getattr(hyp3_sdk.HyP3, call.method)).parameters["looks"]
        assert found.annotation.__args__ == LOOKS[pair.product]


def test_the_older_image_is_the_reference() -> None:
    jobs = [getattr(hyp3_sdk.HyP3, call.method)(**call.keywords) for call in order_calls(PAIRS)]
    for job in jobs:
        given = job["job_parameters"]
        older, newer = given.get("granules") or (given["reference"], given["secondary"])
        assert OLD in str(older) and NEW in str(newer) and NEW not in str(older)
    assert jobs[2]["job_parameters"]["reference"] == list(JOINED.reference)
    assert jobs[0]["job_parameters"]["include_wrapped_phase"] is True


def test_the_lines_are_python_and_tell_the_reasons() -> None:
    lines = order_lines(PAIRS, looks="10x2", name="Khumbu 2019", folder="radar")
    compile(lines, "order", "exec")
    assert lines.count("HyP3.prepare_insar_") == 3
    for pair in PAIRS:
        for text in (*pair.reference, *pair.secondary, *pair.reasons):
            assert text in lines
    assert "# covers 97% of the area" in lines and "perpendicular baseline 43 m" in lines
    assert "same track 12, descending, VV" in lines and "taken in July" in lines
    assert all(len(line) <= 110 for line in lines.splitlines())


def test_nothing_that_a_catalogue_or_a_user_writes_becomes_code() -> None:
    evil = replace(
        SCENES, direction="descending\nraise SystemExit(1)", reference=("x')\nraise SystemExit(2)",)
    )
    lines = order_lines([evil], name='it\'s {0} "quoted"', folder="a'b{x}")
    tree = ast.parse(lines)
    assert not any(isinstance(node, ast.Raise) for node in ast.walk(tree))
    kinds = [type(node).__name__ for node in tree.body]
    assert kinds == ["ImportFrom", "Assign", "Assign", "Assign", "Expr", "Assign", "Expr"]
    written = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert {evil.reference[0], 'it\'s {0} "quoted"', "a'b{x}"} <= written


@pytest.mark.parametrize(
    ("pairs", "options", "words"),
    [
        ([], {}, "no pair to order"),
        ([SCENES], {"looks": "5x1"}, r"INSAR_GAMMA cannot be had with .*: 5x1\. .* 20x4, 10x2"),
        ([BURST], {"looks": "4x20"}, r"INSAR_ISCE_BURST cannot .*: 4x20\. .* 5x1"),
        ([BURST], {"name": " "}, "name of an order cannot be used"),
        ([BURST], {"name": "a\nb"}, "name of an order cannot be used"),
        ([BURST], {"name": "a" * 101}, "name of an order cannot be used"),
        ([BURST] * 201, {}, r"order is too large: 201\. Give 200"),
    ],
)
def test_what_breaks_a_rule_is_refused(
    pairs: list[Pair], options: dict[str, Any], words: str
) -> None:
    for order in (order_lines, submit_order):
        with pytest.raises(CryonetError, match=words):
            order(pairs, **options)


class TestSending:
    pytestmark = network

    def test_the_lines_and_the_command_send_the_same_order(
        self, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert submit_order(PAIRS, looks="10x2", name="K") == ["job-0", "job-1", "job-2"]
        sent = order_lines(PAIRS, looks="10x2", name="K", folder=str(tmp_path / "made"))
        exec(compile(sent, "order", "exec"), {"__name__": "__main__"})
        first, second = service.orders
        assert first == second
        assert [job["job_type"] for job in first["jobs"]] == [pair.product for pair in PAIRS]
        assert {job["name"] for job in first["jobs"]} == {"K"}
        assert capsys.readouterr().out.split() == ["job-0", "job-1", "job-2"]
        assert (tmp_path / "made").is_dir()

    def test_the_cookie_of_the_login_goes_with_the_order(self, service: Service) -> None:
        submit_order([BURST])
        assert [host for _, host, _ in service.asked] == [URS, CUMULUS] * 2 + [HYP3]
        assert "asf-urs=cookie" in service.headers[-1].get("Cookie", "")
        assert "Authorization" not in service.headers[-1]

    def test_the_environment_comes_before_the_file(
        self, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_netrc(tmp_path, monkeypatch, "wrong")
        monkeypatch.setenv("EARTHDATA_USERNAME", "someone")
        with pytest.raises(CryonetError, match="login at Earthdata failed"):
            submit_order([BURST])
        monkeypatch.setenv("EARTHDATA_PASSWORD", "secret")
        assert submit_order([BURST]) == ["job-0"]
        service.asked.clear()
        monkeypatch.setenv("EARTHDATA_TOKEN", "abc")
        assert submit_order([BURST]) == ["job-0"]
        assert service.asked == [("POST", HYP3, "jobs")]
        assert service.headers[-1]["Authorization"] == "Bearer abc"

    def test_without_credentials_nobody_is_asked(
        self, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_netrc(tmp_path, monkeypatch, None)
        with pytest.raises(
            CryonetError, match=r"no credentials of Earthdata: none found\. .*netrc.*_TOKEN"
        ):
            submit_order([BURST])
        assert service.asked == []

    def test_a_wrong_password_is_told_and_not_shown(
        self, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_netrc(tmp_path, monkeypatch, "mistaken")
        with pytest.raises(
            CryonetError, match=r"login at Earthdata failed: https://urs.*netrc"
        ) as e:
            submit_order([BURST])
        assert "mistaken" not in str(e.value) and service.orders == []

    @pytest.mark.parametrize(
        ("status", "body", "words"),
        [
            (400, '{"detail": "not enough credits"}', r"HyP3Error|400.*not enough credits"),
            (500, "<html>", "ServerError"),
            (503, '{"detail": "maintenance"}', "503.*maintenance"),
            (403, "<html>", "Expecting value"),
        ],
    )
    def test_a_refusal_is_told_with_its_reason(
        self, service: Service, status: int, body: str, words: str
    ) -> None:
        service.failures[HYP3] = (status, body)
        with pytest.raises(CryonetError, match=f"order was not taken: https://{HYP3}.*") as e:
            submit_order([BURST], name="K")
        assert e.match(words) and e.match(r"find_jobs\(name='K'\)")

    def test_nothing_that_answers_is_told(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.undo()
        monkeypatch.setenv("EARTHDATA_USERNAME", "someone")
        monkeypatch.setenv("EARTHDATA_PASSWORD", "secret")
        monkeypatch.delenv("EARTHDATA_TOKEN", raising=False)
        lead_to(None, monkeypatch)
        with pytest.raises(CryonetError, match=r"login at Earthdata failed: .*Check the network"):
            submit_order([BURST])
        monkeypatch.setenv("EARTHDATA_TOKEN", "abc")
        with pytest.raises(CryonetError, match="order was not taken"):
            submit_order([BURST])

    def test_no_request_waits_for_ever(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[Any] = []
        from requests.adapters import HTTPAdapter

        led = HTTPAdapter.send

        def send(self: HTTPAdapter, request: Any, **options: Any) -> Any:
            waits.append((request.url.split("/")[2], options["timeout"]))
            return led(self, request, **options)

        monkeypatch.setattr(HTTPAdapter, "send", send)
        submit_order([BURST])
        # The library's own login has none: ours went the same way first.
        assert waits[:2] == [(URS, 60), (CUMULUS, 60)] and waits[-1] == (HYP3, 60)

    def test_progress_is_told(self, service: Service) -> None:
        class Steps:
            seen: list[tuple[int, int, str]] = []  # noqa: RUF012

            def step(self, done: int, total: int, message: str = "") -> None:
                self.seen.append((done, total, message))

        submit_order([BURST], progress=Steps())
        assert Steps.seen == [(0, 2, "logging in"), (1, 2, "ordering"), (2, 2, "ordered")]


def test_the_table_shows_every_pair_with_its_reasons() -> None:
    out = io.StringIO()
    Console(file=out, width=160).print(pairs_table(PAIRS))
    shown = " ".join(out.getvalue().split())
    for text in (
        "2019-07-04",
        "2019-07-16",
        "descending",
        "│ 43 m │ 97% │",
        "│ – │",
        "taken in July",
    ):
        assert text in shown


def test_the_libraries_are_not_imported_before_they_are_needed() -> None:
    code = (
        "import sys, cryonet, cryonet.cli, cryonet.insar_order, cryonet.insar_order_table;"
        "print([name for name in ('asf_search', 'hyp3_sdk') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
