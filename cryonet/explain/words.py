"""An attribution in the field's words: what was asked, how sure it is, what speaks for what."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cryonet.classes import CLASSES
from cryonet.explain.attribution import Attribution
from cryonet.explain.question import Question
from cryonet.layers import LAYERS

_TITLES = {entry.name: entry.title for entry in CLASSES}

#: A total below this share of the largest is told as nothing.
_NOTHING = 1e-3


def class_title(name: str) -> str:
    """Return the wording of a class: ``debris-covered ice`` of debris."""
    return _TITLES.get(name, name.replace("_", " "))


def family_title(family: str) -> str:
    """Return the wording of a family: ``tasseled cap``."""
    return "principal components" if family == "pca" else family.replace("_", " ")


def layer_title(name: str, *, units: bool = False) -> str:
    """Return the wording of a layer, with its units if those are asked for and it has any."""
    spec = LAYERS.get(name)
    if spec is None:
        return name.replace("_", " ")
    return f"{spec.long_name}, {spec.units}" if units and spec.units != "1" else spec.long_name


def asked(question: Question) -> str:
    """Return what was asked: ``Why debris-covered ice at row 40, column 17?``."""
    rather = f" rather than {class_title(question.against)}" if question.against else ""
    # The label names the class again, as the tables do.
    where = question.label.partition(" at ")[2]
    place = f" at {where}" if where else f", {question.label}" if question.label else ""
    return f"Why {class_title(question.target)}{rather}{place}?"


def signs(question: Question) -> tuple[str, str]:
    """Return what a positive and what a negative share means."""
    name = class_title(question.target)
    if (question.weights < 0).any():
        return (f"more for {name} where the map is right", f"more for {name} where it is wrong")
    if question.against:
        return f"speaks for {name}", f"speaks for {class_title(question.against)}"
    return f"adds to {name}", f"speaks against {name}"


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign, minus as a minus: ``−0.31``; ``?`` if it is none."""
    if not math.isfinite(value):
        return "?"
    text = f"{value:+.{digits}f}"
    if float(text) == 0:
        return "0"
    return text.replace("-", "\N{MINUS SIGN}")


def digits_of(values: Sequence[float]) -> int:
    """Return the decimals with which the largest of some numbers has three digits, 1 to 6."""
    most = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return 2 if most == 0 else min(max(2 - math.floor(math.log10(most)), 1), 6)


def how(attribution: Attribution) -> str:
    """Return method and baseline: ``integrated gradients, from training mean``."""
    against = f", held against {attribution.baseline}" if attribution.baseline else ""
    return f"{attribution.method}{against}"


def completeness(attribution: Attribution) -> str:
    """Return by how much the shares miss what was to be shared out, in words."""
    total, whole = sum(attribution.by_family.values()), attribution.difference
    if not math.isfinite(attribution.gap):
        return "inputs and baseline have the same evidence: nothing to share out"
    digits = digits_of([whole])
    shares = f"shares sum to {signed(total, digits)} of {signed(whole, digits)} log-odds"
    from cryonet.explain.methods import METHODS

    row = METHODS.get(attribution.method)
    if row is not None and not row.complete:
        return f"{shares}; this method need not share out all"
    return f"{shares}, {attribution.gap:.1%} off"


def ranked(totals: dict[str, float]) -> list[tuple[str, float]]:
    """Return totals from the largest to the smallest in size; those that are no number last."""
    return sorted(totals.items(), key=lambda row: -abs(row[1]) if math.isfinite(row[1]) else 1.0)


def answer(attribution: Attribution) -> list[str]:
    """Return the answer in some lines: evidence, what speaks for it and against, completeness."""
    question = attribution.question
    probability = ""
    if not question.against and not (question.weights < 0).any():
        one = np.count_nonzero(question.weights) == 1
        share = 1 / (1 + math.exp(-min(max(attribution.value, -700.0), 700.0)))
        probability = f" (probability {share:.3f})" if one else " in the mean of the pixels"
    lines = [
        asked(question),
        f"evidence {signed(attribution.value)} log-odds{probability}; "
        f"of the baseline {signed(attribution.base)}",
    ]
    most = max((abs(v) for v in attribution.by_family.values() if math.isfinite(v)), default=0.0)
    rows = [r for r in ranked(attribution.by_family) if abs(r[1]) > _NOTHING * most]
    digits = digits_of([value for _, value in rows])
    for words, sign in zip(signs(question), (1, -1), strict=True):
        named = [f"{family_title(f)} {signed(v, digits)}" for f, v in rows if v * sign > 0]
        lines.append(f"{words}: {', '.join(named) or 'nothing'}")
    lines.append(f"{how(attribution)}; {completeness(attribution)}; {attribution.seconds:.1f} s")
    return lines
