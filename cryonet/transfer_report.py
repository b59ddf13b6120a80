"""The report of a transfer: each variant's scores, and how far it lies above the source's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cryonet.atomic import whole_file
from cryonet.experiment_config import ExperimentConfig
from cryonet.experiment_tables import (
    Result,
    differences,
    head,
    iou_figures,
    over,
    plain,
    row,
    scores_of,
)
from cryonet.transfer_config import AS_IS, TransferConfig, variants


def write_transfer_report(config: ExperimentConfig, results: Sequence[Result]) -> Path:
    """Write ``report.md``, ``results.json`` and ``above.png``; return the path of the report."""
    from cryonet.plotting import plot_differences

    assert config.transfer is not None
    above = _above(config, results)
    rows = [
        {key: value for key, value in r.items() if key not in ("blocks", "places")} | scores_of(r)
        for r in results
    ]
    told = config.model_dump(
        mode="json", exclude={"scenes": True, "out": True, "transfer": {"target"}}
    )
    raw = {"config": told, "results": rows, "above_as_is": above}
    with whole_file(config.out / "results.json") as work:
        work.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    panels: dict[str, dict[str, Any]] = {}
    for found in above:
        by_class = {name: d for name, d in found["iou"].items() if name != "macro"}
        panels.setdefault(f"{found['model']}, {found['stack']}", {})[found["variant"]] = by_class
    if panels:
        figure = plot_differences(panels, label=f"IoU above {AS_IS.name}", title=config.title)
        with whole_file(config.out / "above.png") as work:
            figure.savefig(work, dpi=130, format="png")
    report = config.out / "report.md"
    with whole_file(report) as work:
        lines = _lines(config, config.transfer, results, above)
        work.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return report


def _groups(results: Sequence[Result]) -> dict[tuple[str, str], list[Result]]:
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result["model"], result["stack"]), []).append(result)
    return groups


def _variants(results: Sequence[Result]) -> dict[str, list[Result]]:
    names = dict.fromkeys(result["variant"] for result in results)
    return {name: [r for r in results if r["variant"] == name] for name in names}


def _above(config: ExperimentConfig, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return how far each variant lies above the source's model as it is, as JSON holds it."""
    found = []
    for (model, stack), rows in _groups(results).items():
        by_variant = _variants(rows)
        for variant, mine in by_variant.items():
            if variant == AS_IS.name:
                continue
            made = differences(mine, by_variant[AS_IS.name], samples=config.samples)
            by_class = {
                name: {key: plain(getattr(d, key)) for key in ("mean", "low", "high")}
                | {"shown": str(d)}
                for name, d in made.items()
            }
            found.append({"model": model, "stack": stack, "variant": variant, "iou": by_class})
    return found


def _lines(
    config: ExperimentConfig,
    transfer: TransferConfig,
    results: Sequence[Result],
    above: Sequence[dict[str, Any]],
) -> Iterator[str]:
    yield f"# {config.title}"
    yield ""
    yield (
        f"Seeds {', '.join(map(str, config.seeds))}; mean ± standard deviation over seeds. The "
        "target's test is the same for all models, seeds and variants, and nothing of it but "
        "the reading of its scores takes part. The scenes' own provenance (measured or "
        "synthetic) is in their items."
    )
    yield ""
    yield from _meanings(transfer)
    for (model, stack), rows in _groups(results).items():
        yield ""
        yield f"## {model}, stack {stack}"
        figures = iou_figures(rows[0]["classes"])
        yield from head(["variant", *(f"{name} IoU" for name in figures)])
        for variant, mine in _variants(rows).items():
            yield row([variant, *(over(mine, figure) for figure in figures.values())])
        yield ""
        yield (
            f"Above {AS_IS.name} in IoU, mean over seeds, with the interval of 95 % over "
            f"{config.samples} draws of test blocks; the seeds are not drawn:"
        )
        yield from head(["variant", *figures])
        for found in above:
            if (found["model"], found["stack"]) == (model, stack):
                cells = [found["iou"][name]["shown"] for name in figures]
                yield row([found["variant"], *cells])
    if above:
        yield ""
        yield f"![IoU above {AS_IS.name} by class](above.png)"


def _meanings(transfer: TransferConfig) -> Iterator[str]:
    """Yield what the variants of a transfer are."""
    yield f"- {AS_IS.name}: the source's model with the source's statistics."
    if "target" in transfer.statistics:
        yield (
            "- target-statistics: layers normalised by all target pixels outside the test, "
            "without labels; grey limits of texture likewise, principal axes kept."
        )
    some = sorted({v.blocks for v in variants(transfer) if v.blocks})
    if some:
        shown = ", ".join(map(str, some))
        yield (
            f"- fine-tuned: trained further on {shown} labelled target blocks, of which one or "
            "more choose the epoch, the start among them. They were drawn, by seed, from blocks "
            "that show two classes or more."
        )
    if some and transfer.target_only:
        yield (
            "- target-only: from random weights, on the same blocks, with the source's budget "
            "and learning rate; statistics and fits from its training chips."
        )
