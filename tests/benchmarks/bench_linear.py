"""Principal components and tasseled cap against scikit-learn and xarray, one thread each.

Run with ``python tests/benchmarks/bench_linear.py [SIDE] [ROUNDS]``. The fit is streamed in 16
blocks against scikit-learn's on all pixels in memory; eigenvalues must agree to 1e-6.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from pictures import image
from sklearn import decomposition
from turns import Tasks, start

from cryonet.layers.linear import weighted_sums
from cryonet.layers.pca import fit_pca
from cryonet.layers.tasseled_cap import TASSELED_CAPS, tasseled_cap


def tasks(side: int) -> Tasks:
    pixels = float(side * side)
    bands = [image(side, seed) for seed in range(3)] * 4
    ten, six = bands[:10], bands[:6]
    cube = xr.DataArray(np.stack(six), dims=("band", "y", "x"))
    weights = xr.DataArray(np.float32(TASSELED_CAPS["tc"].coefficients), dims=("axis", "band"))
    samples = np.stack(ten).reshape(10, -1).T.astype(np.float64)
    samples += np.random.default_rng(1).normal(0, 0.02, samples.shape)
    pca = decomposition.PCA(3, svd_solver="covariance_eigh").fit(samples)
    strips = np.array_split(np.ascontiguousarray(samples.T), 16, axis=1)
    np.testing.assert_allclose(fit_pca(strips).variance, pca.explained_variance_, rtol=1e-6)
    return {
        "PCA fit of 10 bands, streamed in 16 blocks": {
            "cryonet": (lambda: fit_pca(strips), pixels),
            "scikit-learn, in memory": (
                lambda: decomposition.PCA(3, svd_solver="covariance_eigh").fit(samples),
                pixels,
            ),
        },
        "PCA transform, 3 axes": {
            "cryonet": (lambda: weighted_sums(ten, pca.components_, np.zeros(3)), pixels),
            "scikit-learn, from bands": (
                lambda: pca.transform(np.stack(ten).reshape(10, -1).T),
                pixels,
            ),
        },
        "tasseled cap, 3 axes": {
            "cryonet": (lambda: tasseled_cap(six), pixels),
            "xarray dot": (lambda: xr.dot(weights, cube, dim="band"), pixels),
        },
    }


if __name__ == "__main__":
    start(tasks, (1000,), 7)
