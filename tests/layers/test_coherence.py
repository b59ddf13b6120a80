from __future__ import annotations

import numpy as np

from cryonet.layers.coherence import COHERENCE


def test_the_layer_is_the_scenes_coherence():
    (spec,) = COHERENCE
    values = np.array([[0.2, np.nan, 0.9]], np.float32)
    layer = spec.compute({"coherence": values}, 40.0)
    np.testing.assert_array_equal(layer, values)
    assert not np.shares_memory(layer, values)
    assert spec.direction == "scalar" and spec.valid_range == (0.0, 1.0)
