"""Shapley values: the evidence shared out fairly over families, or layers.

The value of a player is the mean, over all orders in which players can join, of what it adds
when it joins: the only division that shares out all, treats equals alike, gives nothing to
those that change nothing, and adds up over sums of games (Shapley 1953). A player joins as
its layers change from the baseline to the scene's.
"""

from __future__ import annotations

from math import factorial

import numpy as np
from numpy.typing import NDArray

from cryonet.errors import ConfigError
from cryonet.explain.task import Answer, Task

#: Players up to which all 2^n coalitions are tried: 1024 evaluations.
EXACT = 10


def family_shapley(task: Task) -> Answer:
    """Share the evidence out over families: exactly up to `EXACT` of them, sampled above."""
    found, attrs = _shared_out(task, task.families)
    return Answer({}, found, attrs=attrs)


def layer_shapley(task: Task) -> Answer:
    """Share the evidence out over layers, sampled above `EXACT` of them."""
    found, attrs = _shared_out(task, task.layers)
    by_layer, by_family = task.totals(np.array([found[name] for name in task.layers]))
    return Answer(by_layer, by_family, attrs=attrs)


def _shared_out(task: Task, names: tuple[str, ...]) -> tuple[dict[str, float], dict[str, object]]:
    found = dict.fromkeys(names, 0.0)
    members = task.members(names)
    if not members:
        return found, {"evaluations": 0, "exact": True}
    masks = np.array(list(members.values()))
    attrs: dict[str, object]
    if len(masks) <= EXACT:
        values = task.values(coalitions_of(len(masks)) @ masks, "Shapley values")
        shares = exact_shares(values)
        attrs = {"evaluations": len(values), "exact": True}
    else:
        shares, errors, evaluations = _sampled(task, masks)
        attrs = {
            "evaluations": evaluations,
            "exact": False,
            "permutations": task.steps,
            "seed": task.seed,
            "standard_error": dict.fromkeys(names, 0.0)
            | {name: float(e) for name, e in zip(members, errors, strict=True)},
        }
    return found | {n: float(v) for n, v in zip(members, shares, strict=True)}, attrs


def coalitions_of(players: int) -> NDArray[np.bool_]:
    """Return all coalitions ``(2^n, n)``: of number k, the players whose bits it has."""
    numbers = np.arange(2**players)
    found: NDArray[np.bool_] = (numbers[:, None] >> np.arange(players)) & 1 == 1
    return found


def exact_shares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Shapley value of each of n players from the values of all 2^n coalitions.

    ``φ_i = Σ_S |S|! (n − |S| − 1)! / n! · (v(S ∪ i) − v(S))`` over the coalitions S without
    player i; coalition number k holds the players whose bits k has.
    """
    players = len(values).bit_length() - 1
    inside = coalitions_of(players)
    sizes = inside.sum(axis=1)
    weights = np.array(
        [factorial(s) * factorial(players - s - 1) / factorial(players) for s in range(players)]
    )
    numbers = np.arange(len(values))
    shares = np.empty(players)
    for player in range(players):
        without = numbers[~inside[:, player]]
        gains = values[without | (1 << player)] - values[without]
        shares[player] = (weights[sizes[without]] * gains).sum()
    return shares


def _sampled(
    task: Task, masks: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Return means over random orders, each with its reverse, their errors, and evaluations.

    In an order and its reverse a player meets opposite coalitions, which takes most of the
    noise out (Mitchell et al. 2022). The standard error is that of the means of the pairs.
    """
    if task.steps < 4 or task.steps % 2:
        rule = "Orders come in pairs: give an even number from 4."
        raise ConfigError("the number of permutations cannot be used", task.steps, rule)
    players = len(masks)
    drawn = np.random.default_rng(task.seed)
    firsts = [drawn.permutation(players) for _ in range(task.steps // 2)]
    orders = np.array([order for first in firsts for order in (first, first[::-1])])
    # The empty coalition and the whole one are the same in every order.
    places = np.argsort(orders, axis=1)
    joined = places[:, None, :] < np.arange(1, players)[:, None]
    ends = np.array([np.zeros(players, bool), np.ones(players, bool)])
    coalitions = np.concatenate([ends, joined.reshape(-1, players)])
    values = task.values(coalitions @ masks, "Shapley values")
    walk = np.empty((task.steps, players + 1))
    walk[:, 0], walk[:, -1] = values[0], values[1]
    walk[:, 1:-1] = values[2:].reshape(task.steps, players - 1)
    gains = np.take_along_axis(np.diff(walk, axis=1), places, axis=1)
    pairs = gains.reshape(-1, 2, players).mean(axis=1)
    return (
        pairs.mean(axis=0),
        pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs)),
        len(coalitions),
    )
