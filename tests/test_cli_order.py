"""The command that prints and sends orders of radar pairs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from asf_service import Service, granule, lead_to
from shapely.geometry import box
from test_insar_order import write_netrc
from typer.testing import CliRunner

from cryonet.cli import app

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]

FIRST = datetime(2019, 10, 4, 12, 5)
ORDER = ["scene", "order-insar", "--area", "poiqu", "--dates", "2019-10-01/2019-11-30"]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    outline = box(84, 27, 87, 29)
    made = [granule(outline, FIRST + timedelta(days=day)) for day in (0, 12, 36)]
    started = Service(made)
    lead_to(started, monkeypatch)
    yield started
    started.close()


def test_lines_go_to_the_output_and_the_choice_beside_it(service: Service) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(
        app, [*ORDER, "--most", "1", "--looks", "10x2"]
    )
    assert result.exit_code == 0, result.output
    compile(result.stdout, "order", "exec")
    assert "looks='10x2'" in result.stdout.replace('"', "'")
    assert "20191004" in result.stdout and "20191016" in result.stdout
    assert "20191109" not in result.stdout
    assert "INSAR_GAMMA" in result.stderr and "12 days" in result.stderr
    assert service.orders == []


def test_months_hold_and_nothing_suitable_is_an_error(service: Service) -> None:
    result = CliRunner().invoke(app, [*ORDER, "--months", "6"])
    assert result.exit_code == 2 and "Error:" in result.output
    result = CliRunner().invoke(app, [*ORDER, "--product", "MADE_UP"])
    assert result.exit_code == 2 and "MADE_UP" in result.output


def test_with_credentials_it_is_sent(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_netrc(tmp_path, monkeypatch, None)
    refused = CliRunner().invoke(app, [*ORDER, "--submit"])
    assert refused.exit_code == 2 and "Earthdata" in refused.output and service.orders == []
    write_netrc(tmp_path, monkeypatch, "secret")
    sent = CliRunner().invoke(app, [*ORDER, "--submit", "--most", "1"])
    assert sent.exit_code == 0 and "job-0" in sent.stderr
    assert len(service.orders[0]["jobs"]) == 1
