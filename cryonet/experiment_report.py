"""The report of an experiment: tables in Markdown, figures, and the raw numbers as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cryonet.atomic import whole_file
from cryonet.comparison import Figure, Spread, class_iou, spread
from cryonet.experiment_config import OWN_STACK, ExperimentConfig
from cryonet.experiment_tables import Result, differences, head, over, row, scores_of
from cryonet.importance_report import importance, importance_lines
from cryonet.metrics import class_scores, macro_iou
from cryonet.transfer_report import write_transfer_report

#: Columns of the second table: heading, key of a result, digits.
_COSTS = (
    ("parameters, M", "parameters", 1e-6),
    ("MFLOP a pixel", "mflop_a_pixel", 1.0),
    ("training, s", "train_seconds", 1.0),
    ("prediction, Mpx/s", "megapixels_a_second", 1.0),
    ("learning rate", "learning_rate", 1.0),
)

#: What the report says of the models that are no networks.
_BASELINES = {
    "forest": (
        "The forest sees each pixel alone, on the layers of the stack. It learns from pixels "
        "drawn from the networks' chips, and has no steps and no learning rate."
    ),
    "threshold": (
        "Thresholds have layers of their own and stand with every stack. They are fitted to "
        "all training pixels, and never map debris-covered ice."
    ),
}


def write_report(config: ExperimentConfig, results: Sequence[Result]) -> Path:
    """Write ``report.md``, ``results.json`` and ``iou.png`` to the experiment's folder.

    With importance there is ``importance.png`` too; a transfer has a report of its own.
    Returns the path of the report.
    """
    from cryonet.plotting import plot_comparison

    if config.transfer is not None:
        return write_transfer_report(config, results)
    rows = [
        {key: value for key, value in r.items() if key not in ("blocks", "places")} | scores_of(r)
        for r in results
    ]
    worth = importance(config, results)
    raw = {"config": config.model_dump(mode="json", exclude={"scenes", "out"}), "results": rows}
    if worth:
        raw["importance"] = worth
    with whole_file(config.out / "results.json") as work:
        work.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    own = [result for result in results if result["stack"] in (*config.stacks, OWN_STACK)]
    figure = plot_comparison(_bars(own), title=config.title)
    with whole_file(config.out / "iou.png") as work:
        figure.savefig(work, dpi=130, format="png")
    _plot_falls(config, worth)
    report = config.out / "report.md"
    with whole_file(report) as work:
        lines = [*_lines(config, own), *importance_lines(config, results, worth)]
        work.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return report


def _plot_falls(config: ExperimentConfig, worth: Sequence[dict[str, Any]]) -> None:
    """Write ``importance.png``, if families were left out."""
    from cryonet.plotting import plot_differences

    panels: dict[str, dict[str, Any]] = {}
    for found in worth:
        if "falls" in found:
            falls = {name: fall for name, fall in found["falls"].items() if name != "macro"}
            panels.setdefault(f"{found['model']}, {found['fold']}", {})[found["group"]] = falls
    if panels:
        label = "fall of IoU when left out"
        figure = plot_differences(panels, label=label, title=config.title)
        with whole_file(config.out / "importance.png") as work:
            figure.savefig(work, dpi=130, format="png")


def _groups(results: Sequence[Result]) -> Iterator[tuple[tuple[str, str], dict[str, list[Result]]]]:
    """Yield fold and stack with the results of each model; thresholds stand with every stack."""
    named = list(dict.fromkeys(r["stack"] for r in results if r["stack"] != OWN_STACK))
    groups: dict[tuple[str, str], dict[str, list[Result]]] = {}
    for result in results:
        own = result["stack"] == OWN_STACK
        for stack in (named or [OWN_STACK]) if own else [result["stack"]]:
            place = groups.setdefault((result["fold"], stack), {})
            place.setdefault(result["model"], []).append(result)
    yield from groups.items()


def _bars(results: Sequence[Result]) -> dict[str, dict[str, dict[str, Spread]]]:
    """Return IoU by group, model and class."""
    return {
        f"{stack}, {fold}": {
            model: {
                name: over(rows, class_iou(code)) for code, name in enumerate(rows[0]["classes"])
            }
            for model, rows in models.items()
        }
        for (fold, stack), models in _groups(results)
    }


def _lines(config: ExperimentConfig, results: Sequence[Result]) -> Iterator[str]:
    yield f"# {config.title}"
    yield ""
    yield _ground(results)
    yield ""
    yield (
        f"Seeds {', '.join(map(str, config.seeds))}; mean ± standard deviation over seeds; each "
        "pixel of the test counts once. Every network had the same steps and chips, and its "
        f"learning rate from {', '.join(f'{rate:g}' for rate in config.learning_rates)} by "
        "validation blocks alone."
    )
    baselines = {model.architecture for model in config.models.values()} & set(_BASELINES)
    for baseline in sorted(baselines):
        yield ""
        yield _BASELINES[baseline]
    for (fold, stack), models in _groups(results):
        yield ""
        yield f"## Stack {stack}, test {fold}"
        yield from _score_table(models)
        yield from _calibration_table(models)
        yield from _cost_table(models)
        yield from _paired(config, models)
    yield from _leak(results)
    yield ""
    yield "![IoU by class and model](iou.png)"


def _ground(results: Sequence[Result]) -> str:
    """Return which scenes the results are of, and which of them are synthetic."""
    scenes = {name: made for result in results for name, made in result["synthetic"].items()}
    told = ", ".join(f"{name} ({'synthetic' if made else 'real'})" for name, made in scenes.items())
    return f"Scenes: {told}."


def _score_table(models: dict[str, list[Result]]) -> Iterator[str]:
    names = next(iter(models.values()))[0]["classes"]
    heads = [f"{name} IoU / precision / recall" for name in names]
    yield from head(["model", *heads, "macro", "macro without other"])
    for model, rows in models.items():
        cells = []
        for code in range(len(names)):
            parts = [over(rows, _score_of(key, code)) for key in ("iou", "precision", "recall")]
            cells.append(f"{parts[0]} / " + " / ".join(_mean(part) for part in parts[1:]))
        bare = over(rows, lambda m: macro_iou(m, background=False))
        yield row([model, *cells, over(rows, macro_iou), bare])


def _mean(figure: Spread) -> str:
    return f"{figure.mean:.3f}" if figure.runs else "–"


def _score_of(key: str, code: int) -> Figure:
    return lambda matrix: float(class_scores(matrix)[key][code])


def _calibration_table(models: dict[str, list[Result]]) -> Iterator[str]:
    yield from head(["model", "temperature", "ECE", "ECE uncalibrated", "classwise ECE"])
    for model, rows in models.items():
        keys = ("temperature", "ece", "ece_uncalibrated", "classwise_ece")
        yield row([model, *(spread([r["calibration"][key] for r in rows]) for key in keys)])


def _cost_table(models: dict[str, list[Result]]) -> Iterator[str]:
    yield from head(["model", *(name for name, *_ in _COSTS)])
    for model, rows in models.items():
        yield row([model, *(_cost(rows, key, factor) for _, key, factor in _COSTS)])


def _cost(rows: Sequence[Result], key: str, factor: float) -> str:
    """Return the mean of a cost, ``n/a`` where the model has none."""
    values = [r[key] for r in rows]
    return "n/a" if None in values else f"{np.mean(values) * factor:.3g}"


def _paired(config: ExperimentConfig, models: dict[str, list[Result]]) -> Iterator[str]:
    first, *others = models
    if not others:
        return
    names = models[first][0]["classes"]
    yield ""
    yield (
        f"{first} above the others in IoU, mean over seeds, with the interval of 95 % over "
        f"{config.samples} draws of test blocks; the seeds are not drawn:"
    )
    yield from head(["model", *names, "macro"])
    for other in others:
        above = differences(models[first], models[other], samples=config.samples)
        yield row([other, *above.values()])


def _leak(results: Sequence[Result]) -> Iterator[str]:
    """Yield the table that shows how random tiles flatter."""
    folds = {result["fold"] for result in results}
    if not {"tiles", "blocks"} <= folds:
        return
    yield ""
    yield "## What random tiles hide"
    yield ""
    yield "Macro IoU of the same models on random tiles beside those trained on, and on blocks:"
    yield from head(["model", "stack", "random tiles", "blocks"])
    keys = dict.fromkeys((r["model"], r["stack"]) for r in results)
    for model, stack in keys:
        cells = [
            over(
                [r for r in results if (r["model"], r["stack"], r["fold"]) == (model, stack, fold)],
                macro_iou,
            )
            for fold in ("tiles", "blocks")
        ]
        yield row([model, "its own" if stack == OWN_STACK else stack, *cells])
