"""What the report of an experiment says of layer importance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cryonet.comparison import Difference, spread
from cryonet.experiment_config import OWN_STACK, ExperimentConfig
from cryonet.experiment_tables import (
    Result,
    differences,
    head,
    iou_figures,
    matrix_of,
    over,
    plain,
    row,
)


def importance(config: ExperimentConfig, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what each group of families is worth, for each model and fold, as JSON holds it.

    `falls` are how far the IoU of the whole stack lies above that of the stack without the
    group, by class and in the mean; `only` is the IoU with the group alone, by class and seed.
    """
    if config.importance is None:
        return []
    rows: list[dict[str, Any]] = []
    for model, fold in dict.fromkeys((r["model"], r["fold"]) for r in results):
        mine = [r for r in results if (r["model"], r["fold"]) == (model, fold)]
        whole = [r for r in mine if r["stack"] == config.importance.stack]
        others = [r["stack"] for r in mine if r["stack"] not in (*config.stacks, OWN_STACK)]
        for group in dict.fromkeys(stack.partition("-")[2] for stack in others):
            found: dict[str, Any] = {"model": model, "fold": fold, "group": group}
            without = [r for r in mine if r["stack"] == f"without-{group}"]
            alone = [r for r in mine if r["stack"] == f"only-{group}"]
            if without:
                found["layers_without"] = without[0]["layers"]
                falls = differences(whole, without, samples=config.samples)
                found["falls"] = {name: _interval(fall) for name, fall in falls.items()}
                found["falls_by_seed"] = {
                    name: [
                        plain(figure(matrix_of(one)) - figure(matrix_of(other)))
                        for one, other in zip(whole, without, strict=True)
                    ]
                    for name, figure in iou_figures(whole[0]["classes"]).items()
                }
            if alone:
                found["layers_only"] = alone[0]["layers"]
                found["only"] = {
                    name: [plain(figure(matrix_of(result))) for result in alone]
                    for name, figure in iou_figures(alone[0]["classes"]).items()
                }
            rows.append(found)
    return rows


def _interval(found: Difference) -> dict[str, float | None]:
    return {"mean": plain(found.mean), "low": plain(found.low), "high": plain(found.high)}


def importance_lines(
    config: ExperimentConfig, results: Sequence[Result], rows: Sequence[dict[str, Any]]
) -> Iterator[str]:
    """Yield the section on importance, from what `importance` returned."""
    if config.importance is None:
        return
    stack = config.importance.stack
    yield ""
    yield "## Layer importance by retraining"
    yield ""
    shared = "had the learning rate that was best for the whole stack"
    searched = "had a search of its own for the learning rate"
    yield (
        f"A model was trained anew without each family of the stack {stack}, and with it alone. "
        "The fall is the IoU of the whole stack less that without the family, mean over seeds, "
        f"with the interval of 95 % over {config.samples} draws of test blocks; the seeds are not "
        "drawn, so the last column gives mean ± standard deviation over them. Below zero, the "
        "model does better without. All stacks learn and are tested on the pixels where the whole "
        "stack has values. Each "
        f"{shared if config.importance.search == 'shared' else searched}. Layers that tell the "
        "same stand in for each other: see the groups."
    )
    for model, fold in dict.fromkeys((found["model"], found["fold"]) for found in rows):
        mine = [found for found in rows if (found["model"], found["fold"]) == (model, fold)]
        yield ""
        yield f"### {model}, test {fold}"
        yield from _falls(mine)
        yield from _alone([r for r in results if (r["model"], r["fold"]) == (model, fold)], stack)
    if any("falls" in found for found in rows):
        yield ""
        yield "![Fall of IoU without each family](importance.png)"


def _falls(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    known = [found for found in rows if "falls" in found]
    if not known:
        return
    names = [*known[0]["falls"], "macro over seeds"]
    yield from head(["fall of IoU without", "layers left", *names])
    for found in known:
        cells = [_shown(fall) for fall in found["falls"].values()]
        seeds = found["falls_by_seed"]["macro"]
        cells.append(str(spread([value for value in seeds if value is not None])))
        yield row([found["group"], found["layers_without"], *cells])


def _shown(fall: dict[str, float | None]) -> str:
    if fall["mean"] is None or fall["low"] is None or fall["high"] is None:
        return "–"
    return str(Difference(fall["mean"], fall["low"], fall["high"]))


def _alone(results: Sequence[Result], whole: str) -> Iterator[str]:
    stacks = [r["stack"] for r in results if r["stack"].startswith("only-")]
    if not stacks:
        return
    figures = iou_figures(results[0]["classes"])
    yield from head(["IoU with only", "layers", *figures])
    for stack in dict.fromkeys((whole, *stacks)):
        mine = [r for r in results if r["stack"] == stack]
        cells = [over(mine, figure) for figure in figures.values()]
        name = f"all of {whole}" if stack == whole else stack.removeprefix("only-")
        yield row([name, mine[0]["layers"], *cells])
