"""`cryonet importance`: three ways side by side, written whole, in figures and a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cryonet.cli import app
from cryonet.errors import ConfigError
from cryonet.importance_workflow import run_importance
from cryonet.plotting.ways import plot_ways

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "data/demo"
RETRAINED = ROOT / "data/results/synthetic_importance/results.json"
FAMILIES = ["optical", "indices", "pca", "tasseled_cap", "terrain", "texture", "coherence", "phase"]


def test_the_folder_holds_table_record_and_picture(tmp_path: Path) -> None:
    out = tmp_path / "worth"
    result = CliRunner().invoke(
        app,
        [
            "importance", str(DEMO / "bundle"), str(DEMO / "scene"), str(out),
            "--retrained", str(RETRAINED), "--window", "64,64,256,256", "--repeats", "2",
            "--pixels", "4",
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "agree to" in result.output and "told_by_others" in result.output
    record = json.loads((out / "importance.json").read_text())
    table = pd.read_csv(out / "importance.csv", index_col=["of", "family"])
    assert record["synthetic"] is True
    assert list(table.loc["macro"].index) == FAMILIES
    # The retraining column is the experiment's own, not computed anew.
    report = (RETRAINED.parent / "report.md").read_text()
    assert f"{table.loc[('debris', 'coherence'), 'retraining']:+.3f}" in report
    assert table.loc[("debris", "coherence"), "permutation"] > 0.05
    for of in ("macro", "debris"):
        said = {family: row["shapley"] for family, row in record["tables"][of].items()}
        assert said == pytest.approx(table.loc[of]["shapley"].to_dict())
    assert (out / "importance.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_is_written_if_the_experiment_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "results.json"
    broken.write_text("[")
    with pytest.raises(ConfigError, match="results cannot be read"):
        run_importance(DEMO / "bundle", DEMO / "scene", tmp_path / "out", retrained=broken)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_bars_are_shares_of_the_largest_and_the_unknown_has_none() -> None:
    tables = {
        "macro": {
            "permutation": {"terrain": 0.5, "coherence": -0.25},
            "shapley": {"terrain": np.nan, "coherence": 3.0},
        },
        "debris": {
            "permutation": {"terrain": 0.0, "coherence": 0.0},
            "shapley": {"terrain": 1.0, "coherence": 2.0},
        },
    }
    figure = plot_ways(tables, title="made up")
    widths = [[bar.get_width() for bar in ax.patches] for ax in figure.axes]
    assert widths == [[1, -0.5, 0, 1], [0, 0, 0.5, 1]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["permutation", "shapley"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "terrain",
        "coherence",
    ]
    # First at the top.
    low, high = figure.axes[0].get_ylim()
    assert low > high
