"""A step of several batches, the average of weights, and what the device can do."""

from __future__ import annotations

import math

import pytest
import torch
from lightning_fabric import Fabric
from test_train import _config
from torch import nn
from torch.optim.swa_utils import AveragedModel

from cryonet.errors import ConfigError, CryonetError
from cryonet.learner import Learner
from cryonet.processes import make_fabric
from cryonet.train import _check_finite
from cryonet.weight_average import WeightAverage


def network(*, norm: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    middle: nn.Module = nn.BatchNorm2d(6) if norm else nn.Identity()
    return nn.Sequential(nn.Conv2d(5, 6, 3, padding=1), middle, nn.GELU(), nn.Conv2d(6, 3, 1))


def chips(count: int, *, holes: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 5, 16, 16, generator=generator)
    labels = torch.randint(0, 3, (count, 16, 16), generator=generator)
    if holes:
        labels[0] = 255
    return images, labels


def trained(accumulate: int, given, *, norm: bool = False, loss: str = "cross_entropy"):
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    module = network(norm=norm)
    config = _config(loss=loss, accumulate=accumulate, batch=8 // accumulate, clip_norm=100)
    learner = Learner(fabric, module, config)
    learner.train()
    seen = iter([part for _ in range(3) for part in given])
    losses = [float(learner.step(seen)) for _ in range(3)]
    return losses, torch.cat([p.detach().flatten() for p in module.parameters()])


def halves(given):
    images, labels = given
    return [(images[:4], labels[:4]), (images[4:], labels[4:])]


def test_two_batches_of_four_make_the_step_of_one_of_eight():
    whole = chips(8)
    one, weights_one = trained(1, [whole])
    two, weights_two = trained(2, halves(whole))
    assert two == pytest.approx(one, rel=1e-5)
    start = torch.cat([p.detach().flatten() for p in network().parameters()])
    moved = (weights_one - start).abs().max()
    assert moved > 1e-3
    assert (weights_two - weights_one).abs().max() < 1e-3 * moved


@pytest.mark.parametrize(
    ("norm", "loss", "holes"),
    [(True, "cross_entropy", False), (False, "ce_dice", False), (False, "cross_entropy", True)],
)
def test_statistics_dice_and_holes_make_it_another_step(norm, loss, holes):
    """What the documentation says does not hold, does not."""
    whole = chips(8, holes=holes)
    one, _ = trained(1, [whole], norm=norm, loss=loss)
    two, _ = trained(2, halves(whole), norm=norm, loss=loss)
    assert abs(two[0] / one[0] - 1) > 1e-5


def test_the_average_is_torchs_with_the_same_decay():
    module = network(norm=True)

    def update(old, new, count):
        weight = 1 - min(0.9, (1 + float(count)) / (10 + float(count)))
        for kept, current in zip(old, new, strict=True):
            if kept.is_floating_point():
                kept.add_((current - kept) * weight)
            else:
                kept.copy_(current)

    mine = WeightAverage(module, 0.9)
    other = AveragedModel(module, multi_avg_fn=update, use_buffers=True)
    for _ in range(30):
        with torch.no_grad():
            for weights in module.parameters():
                weights.add_(torch.randn_like(weights))
        module(torch.randn(2, 5, 8, 8))
        mine.update()
        other.update_parameters(module)
    for name, value in other.module.state_dict().items():
        torch.testing.assert_close(mine.module.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    assert not torch.equal(mine.module[0].weight, module[0].weight)


def test_bfloat16_is_used_where_asked_for():
    fabric = make_fabric(_config(precision="bf16-mixed"))
    fabric.launch()
    module = network()
    learner = Learner(fabric, module, _config(precision="bf16-mixed"))
    kinds = []
    module[0].register_forward_hook(lambda *given: kinds.append(given[-1].dtype))
    assert math.isfinite(float(learner.step(iter([chips(4)]))))
    assert kinds == [torch.bfloat16]
    assert module[0].weight.dtype == torch.float32


def test_what_the_machine_cannot_do_is_refused(monkeypatch):
    for settings, what in (
        ({"precision": "16-mixed"}, "precision"),
        ({"accelerator": "cuda"}, "CUDA"),
        ({"accelerator": "auto", "precision": "16-mixed"}, "precision"),
    ):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        with pytest.raises(ConfigError, match=what):
            make_fabric(_config(**settings))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="too few GPUs"):
        make_fabric(_config(accelerator="cuda", devices=2))


def test_weights_that_are_no_numbers_end_the_run():
    module = network()
    _check_finite(module, _config())
    with torch.no_grad():
        module[0].weight[0, 0, 0, 0] = math.nan
    with pytest.raises(CryonetError, match="diverged"):
        _check_finite(module, _config())
