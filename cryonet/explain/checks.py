"""Checks of an attribution, each with its numbers and a sentence that says them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryonet.bundle import Bundle
from cryonet.errors import ConfigError
from cryonet.explain.attribution import Attribution
from cryonet.explain.correlation import agreement
from cryonet.explain.curves import Curves
from cryonet.explain.random_weights import randomised

#: Shares of the network that are made random one after another, from its output upwards.
SHARES = (1 / 3, 2 / 3, 1.0)

#: Deviation of the noise, in deviations of a layer over the training pixels. Our choice.
SIGMA = 0.05

#: Rank correlations that decide, our choice: below the first a random network's explanation
#: counts as another one, above the others two explanations count as the same.
RANDOM_LIMIT, AGREE_LIMIT, STABLE_LIMIT = 0.5, 0.5, 0.9

#: What each check asks, by name.
CHECKS: Mapping[str, str] = MappingProxyType(
    {
        "random weights": "Does the explanation change when the network forgets what it learned?",
        "deletion and insertion": "Does the evidence go first with the layers named first?",
        "agreement": "Do other methods rank the layers alike?",
        "stability": "Does it stay the same under noise too small to see?",
    }
)


@dataclass(frozen=True, slots=True)
class Check:
    """One check and how it went.

    Attributes
    ----------
    name
        From `CHECKS`.
    passed
        None if it could not be made.
    says
        What was found, with the numbers that decide.
    numbers
        All of them, by name; NaN where there is nothing to compare.
    settings
        What it was made with: limits, seeds, repeats.
    """

    name: str
    passed: bool | None
    says: str
    numbers: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def check_random_weights(
    bundle: Bundle,
    attribution: Attribution,
    again: Callable[[Bundle], Attribution],
    *,
    repeats: int = 3,
    seed: int = 0,
    limit: float = RANDOM_LIMIT,
) -> Check:
    """Explain networks with random weights alike (Adebayo et al. 2018).

    Parameters
    ----------
    again
        Explains another bundle in the same way.
    repeats, seed
        Wholly random networks, and what they are drawn from; of partly random ones there is
        one for each of `SHARES`.
    limit
        The mean rank correlation of layers (families, of a method without layers), both of
        the totals and of their sizes, has to stay below it.

    Raises
    ------
    ConfigError
        If the model has no weights, or there are no repeats.
    """
    _at_least_one(repeats)
    numbers: dict[str, float] = {}
    for share in SHARES[:-1]:
        found = agreement(attribution, again(randomised(bundle, seed=seed, share=share)))
        numbers |= {f"{key}, {share:.0%} random": value for key, value in found.items()}
    drawn = [
        agreement(attribution, again(randomised(bundle, seed=seed + n))) for n in range(repeats)
    ]
    numbers |= {f"{key}, all random": _mean(row[key] for row in drawn) for key in drawn[0]}
    unit = _unit(drawn[0])
    signed, size = (numbers[f"{unit}{end}, all random"] for end in ("", ", size"))
    pixels = ""
    if "maps, all random" in numbers:
        pair = numbers["maps, all random"], numbers["maps, size, all random"]
        pixels = "; pixel by pixel, not judged, {:.2f} and {:.2f}".format(*pair)
    passed = _decide([signed, size], lambda worst: worst < limit, worst=max)
    says = (
        f"with random weights the {unit} come out with a rank correlation of {signed:.2f} to the "
        f"trained network's, and of {size:.2f} without signs (mean of {repeats}; under "
        f"{limit:g} to pass){pixels}: the explanation "
        + ("hangs on what was learned" if passed else "may say more of the inputs than the model")
    )
    settings = {"limit": limit, "seed": seed, "repeats": repeats, "shares": list(SHARES)}
    return Check("random weights", passed, says, numbers, settings)


def check_curves(curves: Curves, unit: str) -> Check:
    """Judge deletion and insertion curves against random orders: both have to be better.

    Parameters
    ----------
    unit
        ``layers`` or ``families``.
    """
    areas = curves.random_areas
    chance, spread = float(areas.mean()), float(areas.std(ddof=1)) if len(areas) > 1 else np.nan
    gone, come = curves.deletion_area, curves.insertion_area
    passed = None if np.isnan(chance) else gone < chance < come
    says = (
        f"taking the {unit} out in its order leaves an area of {gone:.2f} under the evidence, "
        f"and putting them in gives {come:.2f}; random orders give {chance:.2f} ± {spread:.2f} "
        f"(1 is all of the difference from the baseline, {len(areas)} orders): "
        + ("the order tells what matters" if passed else "the order is no better than chance")
    )
    if passed is None:
        says = "the evidence is that of the baseline: there is nothing to delete or insert"
    numbers = {
        "deletion area": gone,
        "insertion area": come,
        "random area": chance,
        "random area, spread": spread,
    }
    settings = {"orders": len(areas), "seed": curves.seed, "by": unit}
    return Check("deletion and insertion", passed, says, numbers, settings)


def check_agreement(
    attribution: Attribution, others: Sequence[Attribution], *, limit: float = AGREE_LIMIT
) -> Check:
    """Compare with other methods' answers to the question.

    Parameters
    ----------
    limit
        The mean rank correlation of the families has to be above it.

    Raises
    ------
    ConfigError
        If there is no other.
    """
    if not others:
        raise ConfigError("there is nothing to agree with", "[]", "Give one attribution or more.")
    numbers: dict[str, float] = {}
    for other in others:
        name = other.method if other.baseline == attribution.baseline else _full_name(other)
        found = agreement(attribution, other)
        numbers |= {f"{key}, {name}": value for key, value in found.items()}
    ranks = {key[10:]: v for key, v in numbers.items() if key.startswith("families, ")}
    ranks = {key: value for key, value in ranks.items() if not key.startswith("size, ")}
    mean = _mean(ranks.values())
    passed = None if np.isnan(mean) else bool(mean > limit)
    said = ", ".join(f"{value:.2f} with {name}" for name, value in ranks.items())
    says = (
        f"families rank with a correlation of {said} (mean {mean:.2f}; over {limit:g} to pass): "
        + ("the methods agree" if passed else "the methods do not agree on what matters")
    )
    return Check("agreement", passed, says, numbers, {"limit": limit})


def check_stability(
    attribution: Attribution,
    again: Callable[[int], Attribution],
    *,
    sigma: float = SIGMA,
    repeats: int = 3,
    seed: int = 0,
    limit: float = STABLE_LIMIT,
) -> Check:
    """Explain inputs with a little noise alike.

    Parameters
    ----------
    again
        Explains the inputs with noise of a seed.
    sigma
        The noise's deviation, for the record.
    limit
        The mean rank correlation of layers, or of families of a method without layers, has to
        be above it.

    Raises
    ------
    ConfigError
        If there are no repeats.
    """
    _at_least_one(repeats)
    drawn = [agreement(attribution, again(seed + n)) for n in range(repeats)]
    numbers = {key: _mean(row[key] for row in drawn) for key in drawn[0]}
    unit = _unit(drawn[0])
    numbers["least"] = min(row[unit] for row in drawn)
    passed = _decide([numbers[unit]], lambda worst: worst > limit, worst=min)
    says = (
        f"noise of {sigma:g} deviations on every input keeps the ranks of the {unit} to a "
        f"correlation of {numbers[unit]:.2f} (least {numbers['least']:.2f} of {repeats}; over "
        f"{limit:g} to pass): the explanation is " + ("stable" if passed else "not stable")
    )
    settings = {"limit": limit, "sigma": sigma, "seed": seed, "repeats": repeats}
    return Check("stability", passed, says, numbers, settings)


def verdict(checks: Sequence[Check]) -> str:
    """Return in plain words whether an explanation holds up, with the numbers that decide."""
    made = [check for check in checks if check.passed is not None]
    good = sum(bool(check.passed) for check in made)
    if not made:
        head = "Nothing could be checked."
    elif good == len(made):
        head = f"The explanation holds up: it passed {_of(good, len(made))}."
    elif good == 0:
        head = f"Do not rely on the explanation: it passed none of {len(made)} checks."
    else:
        head = f"Take the explanation with care: it passed {_of(good, len(made))}."
    words = {True: "passed", False: "failed", None: "not possible"}
    lines = [f"{check.name} ({words[check.passed]}): {check.says}." for check in checks]
    return " ".join([head, *(line[0].upper() + line[1:] for line in lines)])


def _of(good: int, made: int) -> str:
    if made == 1:
        return "the one check that was made"
    return f"all {made} checks" if good == made else f"{good} of {made} checks"


def _unit(found: Mapping[str, float]) -> str:
    return "layers" if "layers" in found else "families"


def _full_name(attribution: Attribution) -> str:
    return f"{attribution.method} from the {attribution.baseline}"


def _mean(values: Any) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _decide(
    values: Sequence[float], rule: Callable[[float], bool], *, worst: Callable[..., float]
) -> bool | None:
    return None if any(np.isnan(values)) else bool(rule(worst(values)))


def _at_least_one(repeats: int) -> None:
    if repeats < 1:
        raise ConfigError("there are no repeats", repeats, "Give 1 or more.")


def noisy(
    image: NDArray[np.float32], known: NDArray[np.bool_], *, sigma: float, seed: int
) -> NDArray[np.float32]:
    """Return inputs with normal noise where they are known; what was filled stays."""
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape).astype(np.float32)
    found: NDArray[np.float32] = image + np.where(known, noise, np.float32(0))
    return found
