"""Layer importance by retraining, as an experiment wrote it down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryonet.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Retraining:
    """By how much IoU falls where a model is trained anew without a family, or a group.

    Attributes
    ----------
    title, model, fold
        Of the experiment, and which of its models and folds this is.
    falls
        By family or group, then by ``macro`` and class: the mean, and the ends of the interval
        of 95 %; None where undefined.
    """

    title: str
    model: str
    fold: str
    falls: dict[str, dict[str, tuple[float | None, float | None, float | None]]]

    def mean(self, group: str, of: str = "macro") -> float:
        """Return a mean fall, NaN if it is not known."""
        found = self.falls.get(group, {}).get(of, (None,))[0]
        return float("nan") if found is None else float(found)


def read_retraining(path: str | Path, *, model: str = "", fold: str = "") -> Retraining:
    """Return the importance in the ``results.json`` that ``cryonet experiment`` wrote.

    Parameters
    ----------
    model, fold
        As for `retraining_of`.

    Raises
    ------
    ConfigError
        If it cannot be read, or as `retraining_of`.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        rule = f"It says: {error}."
        raise ConfigError("the experiment's results cannot be read", str(path), rule) from error
    if not isinstance(found, Mapping):
        rule = "Give the results.json of cryonet experiment."
        raise ConfigError("these are no results of an experiment", str(path), rule)
    return retraining_of(found, model=model, fold=fold)


def retraining_of(results: Mapping[str, Any], *, model: str = "", fold: str = "") -> Retraining:
    """Return the importance in the results of an experiment.

    Parameters
    ----------
    results
        With ``importance`` as `cryonet.importance_report.importance` makes it, and ``config``.
    model, fold
        Which, by name; the first by default.

    Raises
    ------
    ConfigError
        If there is no retraining without families among them, or not of that model and fold.
    """
    rows = [row for row in results.get("importance") or () if "falls" in row]
    if not rows:
        raise ConfigError(
            "the experiment trained no model without a family",
            str(results.get("config", {}).get("title", "")),
            "Give its configuration [importance] with without = true.",
        )
    found = [row for row in rows if row["model"] == (model or rows[0]["model"])]
    found = [row for row in found if row["fold"] == (fold or found[0]["fold"])]
    if not found:
        known = ", ".join(sorted({f"{row['model']} / {row['fold']}" for row in rows}))
        asked = f"{model or 'any model'} / {fold or 'any fold'}"
        raise ConfigError("the experiment has no such model and fold", asked, f"It has {known}.")
    falls = {
        row["group"]: {
            name: (fall["mean"], fall["low"], fall["high"]) for name, fall in row["falls"].items()
        }
        for row in found
    }
    title = str(results.get("config", {}).get("title", ""))
    return Retraining(title, found[0]["model"], found[0]["fold"], falls)
