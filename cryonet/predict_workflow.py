"""From a bundle's and a scene's folder to a prediction's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cryonet.bundle import ITEM, Bundle, load_bundle
from cryonet.ensemble import check_members
from cryonet.errors import ConfigError
from cryonet.model_pass import ModelPass
from cryonet.passport import make_passport
from cryonet.prediction_stream import is_predicted, stream_prediction
from cryonet.progress import SILENT, Progress
from cryonet.scene import ITEM_NAME, read_item
from cryonet.scene_passes import PassOptions, scene_passes

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cryonet.cluster import Cluster
    from cryonet.cluster_rows import ClusterRows


@dataclass(frozen=True, slots=True)
class Models:
    """One model, or the members of an ensemble, and how they go over scenes.

    Attributes
    ----------
    folders, bundles
        Where they are, and what was read there.
    options
        As the user gave them.
    cluster
        Where rows are made; None for this process.
    device
        The kind of device that the cluster's workers take.
    """

    folders: tuple[Path, ...]
    bundles: tuple[Bundle, ...]
    options: PassOptions
    cluster: Cluster | None = None
    device: str = ""

    @classmethod
    def load(cls, folders: Sequence[str | Path], options: PassOptions) -> Models:
        """Return the models in some folders; see `cryonet.ensemble.check_members`."""
        bundles = tuple(load_bundle(folder) for folder in folders)
        check_members([bundle.manifest for bundle in bundles], overlap=options.overlap)
        return cls(tuple(map(Path, folders)), bundles, options)

    def on(self, cluster: Cluster | None, progress: Progress = SILENT) -> Models:
        """Return the same models, run on a cluster; its workers are waited for."""
        if cluster is None:
            return self
        if self.options.backend not in ("auto", "torch"):
            rule = "Leave out --backend, or --scheduler."
            raise ConfigError("a cluster predicts with torch", self.options.backend, rule)
        progress.step(0, 0, f"waiting for {cluster.about}")
        return replace(self, cluster=cluster, device=cluster.device(self.options.device))

    def predict(
        self,
        scene: str | Path,
        out: str | Path,
        *,
        overwrite: bool = False,
        keep: bool = False,
        progress: Progress = SILENT,
    ) -> bool:
        """Write the prediction of a scene; return whether it had to be made.

        Parameters
        ----------
        keep
            Leave a finished prediction as it is if it was made just so.
        """
        item, settings = read_item(scene), asdict(self.options)
        del settings["overlap"]
        progress.step(0, 0, "hashing the inputs")
        manifests = [bundle.manifest for bundle in self.bundles]
        passport = make_passport(manifests, scene, item, settings=settings)
        # In this process nothing is run then.
        here = replace(self.options, device="cpu", backend="torch")
        options = here if self.cluster else self.options
        with scene_passes(self.bundles, scene, options, progress) as passes:
            maker = self._maker(passes, Path(scene), str(item["id"])) if self.cluster else None
            if keep and is_predicted(passes, out, passport=passport):
                return False
            stream_prediction(
                passes,
                out,
                passport=passport,
                sources=self._sources(Path(scene)),
                maker=maker,
                overwrite=overwrite,
                progress=progress,
            )
        return True

    def _maker(self, passes: Sequence[ModelPass], scene: Path, title: str) -> ClusterRows:
        from cryonet.cluster_rows import ClusterRows
        from cryonet.cluster_worker import make_order

        assert self.cluster is not None
        for one in passes:
            one.learn({"device": self.device})
        options = replace(self.options, device=self.device, backend="torch")
        known = list(zip(self.folders, (one.manifest for one in passes), strict=True))
        return ClusterRows(self.cluster.workshop, make_order(known, scene, options), passes, title)

    def _sources(self, scene: Path) -> dict[str, Path]:
        several = len(self.folders) > 1
        titles = [f"model {n}" if several else "model" for n in range(1, len(self.folders) + 1)]
        return {"scene": scene / ITEM_NAME if scene.is_dir() else scene} | {
            title: folder / ITEM for title, folder in zip(titles, self.folders, strict=True)
        }


def cluster_for(
    scheduler: str | None, device: str, workers: int | None, threads: int | None
) -> AbstractContextManager[Cluster | None]:
    """Return the context of a cluster (`cryonet.cluster.open_cluster`), or of none.

    Raises
    ------
    ConfigError
        If workers or threads are given and no scheduler.
    """
    if scheduler is None:
        given = workers or threads
        if given:
            rule = "Give --scheduler, too: local starts workers on this machine."
            raise ConfigError("workers and threads are those of a cluster", given, rule)
        return nullcontext()
    from cryonet.cluster import open_cluster

    return open_cluster(scheduler, device=device, workers=workers, threads=threads)


def run_prediction(
    bundle: str | Path,
    scene: str | Path,
    out: str | Path,
    *,
    device: str = "auto",
    overlap: float | None = None,
    batch: int = 4,
    blend: str = "cosine",
    flips: bool = False,
    calibrated: bool = True,
    backend: str = "auto",
    precision: str = "fp32",
    others: Sequence[str | Path] = (),
    scheduler: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Predict a scene with a bundle and write the prediction's folder; return it.

    With `others`, folders of further bundles, it is the prediction of the ensemble of them all;
    see `cryonet.ensemble.predict_ensemble`. With `scheduler` it is computed on a dask cluster;
    see `cryonet.cluster.open_cluster`, also for `workers` and `threads`. The other options are
    those of `cryonet.predict.predict_scene`.
    """
    options = PassOptions(device, overlap, batch, blend, flips, calibrated, backend, precision)
    models = Models.load([bundle, *others], options)
    with cluster_for(scheduler, device, workers, threads) as cluster:
        models.on(cluster, progress).predict(scene, out, overwrite=overwrite, progress=progress)
    return Path(out).absolute()
