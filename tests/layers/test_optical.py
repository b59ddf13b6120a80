from __future__ import annotations

import numpy as np

from cryonet.layers.optical import OPTICAL
from cryonet.scene import VARIABLES


def test_the_ten_bands_in_order_of_wavelength():
    assert [spec.name for spec in OPTICAL] == [
        "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08",
        "swir16", "swir22",
    ]  # fmt: skip


def test_a_band_layer_is_the_reflectance_of_its_own_variable():
    rng = np.random.default_rng(1)
    arrays = {name: rng.random((3, 4)).astype(np.float32) for name in VARIABLES}
    arrays["nir"][1, 2] = np.nan
    for spec in OPTICAL:
        assert spec.needs == (spec.name,)
        assert spec.units == "1"
        layer = spec.compute(arrays, 10.0)
        np.testing.assert_array_equal(layer, arrays[spec.name])
        assert not np.shares_memory(layer, arrays[spec.name])
