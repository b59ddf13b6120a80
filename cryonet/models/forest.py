"""Forest: decision trees as tables, run pixel by pixel like any network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from cryonet.errors import BundleError, ConfigError
from cryonet.model_config import ForestConfig
from cryonet.models.forest_kernel import mean_shares

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

#: A share of nothing counts as the least normal float32: its logarithm is finite.
_LEAST = float(np.finfo(np.float32).tiny)


class Forest(nn.Module):
    """A random forest (Breiman 2001): the mean over its trees of the shares of classes.

    Each tree is a row of tables with one column a node. A node sends a pixel to `left` where
    its layer `feature` is at most `threshold`, else to `right`; a leaf sends it to itself, and
    its `shares` are the answer. Children stand behind their parents, so that every walk ends.
    Columns that a small tree does not need are leaves that nothing leads to.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    shares: Tensor

    def __init__(self, config: ForestConfig, layers: int, classes: int) -> None:
        super().__init__()
        self.layers = layers
        shape = (config.trees, config.nodes)
        own = torch.arange(config.nodes, dtype=torch.int32).repeat(config.trees, 1)
        self.register_buffer("feature", torch.zeros(shape, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(shape))
        self.register_buffer("left", own)
        self.register_buffer("right", own.clone())
        self.register_buffer("shares", torch.full((*shape, classes), 1 / classes))
        self.register_load_state_dict_post_hook(_check)  # type: ignore[no-untyped-call]

    def forward(self, image: Tensor) -> Tensor:
        """Return the logarithms of the shares ``(batch, class, y, x)`` of an image's pixels.

        Trees are walked on the CPU wherever the image lies: steps into tables are too small
        for a GPU, and gathers in torch, step by step, took six times as long on a CPU.
        """
        batch, layers, height, width = image.shape
        pixels = image.detach().permute(0, 2, 3, 1).reshape(-1, layers)
        tables = (self.feature, self.threshold, self.left, self.right, self.shares)
        shares = mean_shares(
            *(np.ascontiguousarray(t.cpu().numpy()) for t in (pixels.float(), *tables))
        )
        logits = torch.from_numpy(np.log(np.maximum(shares, _LEAST)).astype(np.float32))
        found = logits.to(image.device).reshape(batch, height, width, -1)
        return found.permute(0, 3, 1, 2)


def _check(forest: nn.Module, _: Any) -> None:
    """Refuse tables that lead outside themselves or in a circle."""
    assert isinstance(forest, Forest)
    left, right = forest.left, forest.right
    own = torch.arange(left.shape[1], dtype=left.dtype, device=left.device)
    leaf = (left == own) & (right == own)
    inner = (left > own) & (right > own) & (left <= own[-1]) & (right <= own[-1])
    layer = (forest.feature >= 0) & (forest.feature < forest.layers)
    shares = torch.isfinite(forest.shares) & (forest.shares >= 0)
    for name, right_so in {
        "left, right": leaf | inner,
        "feature": layer,
        "shares": shares.all(dim=-1) & ((forest.shares.sum(dim=-1) - 1).abs() < 1e-3),
    }.items():
        if not bool(right_so.all()):
            tree, node = (int(i) for i in (~right_so).nonzero()[0])
            raise BundleError(
                f"the forest's {name} cannot be used",
                f"tree {tree}, node {node}",
                "Children stand behind their parents, layers exist, shares have the sum one.",
            )


def forest_of(fitted: RandomForestClassifier, config: ForestConfig, *, classes: int) -> Forest:
    """Return a fitted forest of scikit-learn as tables.

    scikit-learn compares float32 values with float64 thresholds. The greatest float32 that is
    not above a threshold parts them alike.

    Parameters
    ----------
    fitted
        With `config.trees` trees of at most `config.leaves` leaves; its classes are codes.
    classes
        How many classes there are; one that was not in the sample gets no share.

    Raises
    ------
    ConfigError
        If the forest has other trees than the configuration says.
    """
    most = max(tree.tree_.node_count for tree in fitted.estimators_)
    if len(fitted.estimators_) != config.trees or most > config.nodes:
        found = f"{len(fitted.estimators_)} trees of up to {most} nodes"
        rule = f"The configuration says {config.trees} of up to {config.nodes}."
        raise ConfigError("the forest is not that of the configuration", found, rule)
    forest = Forest(config, fitted.n_features_in_, classes)
    codes = torch.from_numpy(fitted.classes_.astype(np.int64))
    for number, estimator in enumerate(fitted.estimators_):
        tree = estimator.tree_
        count, inner = tree.node_count, tree.children_left >= 0
        own = np.arange(count)
        forest.left[number, :count] = _ints(np.where(inner, tree.children_left, own))
        forest.right[number, :count] = _ints(np.where(inner, tree.children_right, own))
        forest.feature[number, :count] = _ints(np.where(inner, tree.feature, 0))
        floors = np.where(inner, tree.threshold, 0).astype(np.float32)
        above = inner & (floors > tree.threshold)
        floors[above] = np.nextafter(floors[above], np.float32(-np.inf))
        forest.threshold[number, :count] = torch.from_numpy(floors)
        shares = tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True)
        table = torch.zeros(count, classes)
        table[:, codes] = torch.from_numpy(shares).float()
        forest.shares[number, :count] = table
    return forest


def _ints(values: Any) -> Tensor:
    return torch.from_numpy(values.astype(np.int32))
