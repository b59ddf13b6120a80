"""Backends of prediction: as torch has it, chosen by a rule, told in the passport, never mixed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from test_bundle import bundle  # noqa: F401 - a fixture
from test_ensemble import member
from test_onnx_model import shifted
from test_predict import make_scene
from test_prediction_stream import PASSPORT, StopAt, alike
from typer.testing import CliRunner

from cryonet import backend
from cryonet.backend import RUNTIME, SECONDS, WINDOWS, engine_for
from cryonet.bundle import save_bundle
from cryonet.cli import app
from cryonet.ensemble import predict_ensemble
from cryonet.errors import ConfigError, CryonetError
from cryonet.model_config import ForestConfig
from cryonet.model_pass import ModelPass
from cryonet.onnx_cache import Kept
from cryonet.onnx_model import runtime_name
from cryonet.predict import predict_scene
from cryonet.predict_workflow import Models
from cryonet.prediction import read_passport
from cryonet.prediction_stream import is_predicted, stream_prediction
from cryonet.progress import Cancelled
from cryonet.remarks import prediction_remarks
from cryonet.scene_passes import PassOptions
from cryonet.scene_writer import write_scene

CPU, SIZE = torch.device("cpu"), (64, 64)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CRYONET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "onnx"


@pytest.fixture
def made(monkeypatch):
    """The conversions that were made, and what they may be changed by."""
    log, real = [], backend.to_onnx
    change = {"by": 0.0}

    def to_onnx(*given):
        log.append(given[1:])
        return shifted(real(*given), change["by"])

    monkeypatch.setattr(backend, "to_onnx", to_onnx)
    return log, change


class Said:
    def __init__(self):
        self.lines = []

    def step(self, done, total, message=""):
        self.lines.append(message)


def engine(model, **given):
    return engine_for(model, SIZE, **{"backend": RUNTIME, "device": CPU, **given})


@pytest.mark.parametrize("flips", [False, True])
def test_a_prediction_is_that_of_torch_and_says_how_it_was_made(flips):
    scene, model = make_scene(150, 100), member(1, temperature=2.0)
    scene["red"].values[40:50, 7:30] = np.nan
    one, two = (
        predict_scene(model, scene, device="cpu", flips=flips, batch=3, backend=name)
        for name in ("torch", RUNTIME)
    )
    for name in ("probabilities", "confidence"):
        np.testing.assert_allclose(two[name].values, one[name].values, atol=1e-5)
    np.testing.assert_array_equal(two["classes"].values, one["classes"].values)
    assert one.attrs["backend"] == "torch" and "backend_check" not in one.attrs
    assert two.attrs["backend"] == runtime_name()
    check = two.attrs["backend_check"]
    assert 0 <= check["difference"] <= 1e-5 and check["agreement"] == 1
    assert check["tolerance"] == 1e-3 and prediction_remarks(two.attrs) == []


def test_the_converted_network_is_what_runs(made):
    made[1]["by"] = 2e-4
    scene, model = make_scene(64, 64), member(1)
    one, two = (
        predict_scene(model, scene, device="cpu", backend=name)["probabilities"].values
        for name in ("torch", RUNTIME)
    )
    assert 1e-6 < abs(one - two).max() < 1e-3


def test_a_scene_below_the_window_is_converted_at_its_size(made):
    scene, model = make_scene(20, 33), member(1)
    one, two = (predict_scene(model, scene, device="cpu", backend=b) for b in ("torch", RUNTIME))
    np.testing.assert_allclose(two["confidence"], one["confidence"], atol=1e-5)
    assert made[0] == [(3, (20, 33))]


def test_members_of_an_ensemble_each_have_theirs():
    scene, models = make_scene(), [member(1), member(2)]
    one, two = (
        predict_ensemble(models, scene, device="cpu", backend=b) for b in ("torch", RUNTIME)
    )
    np.testing.assert_allclose(two["disagreement"], one["disagreement"], atol=1e-5)
    assert [m["backend"] for m in two.attrs["members"]] == [runtime_name()] * 2
    assert "backend" not in two.attrs


def test_it_is_converted_once_and_said(made):
    said, model = Said(), member(1)
    first, again = (engine(model, progress=said) for _ in range(2))
    assert said.lines == [
        "converting the model for ONNX Runtime", "holding ONNX Runtime against torch",
    ]  # fmt: skip
    assert len(made[0]) == 1 and first.attrs == again.attrs
    image = torch.rand(2, 3, *SIZE)
    torch.testing.assert_close(first.module(image), again.module(image), rtol=0, atol=0)


def test_another_network_weights_size_or_version_is_converted_anew(made, monkeypatch):
    model = member(1)
    engine(model)
    engine(member(2))
    engine_for(model, (64, 32), backend=RUNTIME, device=CPU)
    with torch.no_grad():
        model.module.bias += 1  # whatever the manifest says
    engine(model)
    torch.nn.Module.__setattr__(model.module, "padding_mode", "reflect")
    model.module._reversed_padding_repeated_twice = [1, 1, 1, 1]
    engine(model)
    assert len(made[0]) == 5
    real = backend.version
    monkeypatch.setattr(backend, "version", lambda n: "9" if n == "onnxruntime" else real(n))
    engine(model)
    assert len(made[0]) == 6
    engine(model)
    assert len(made[0]) == 6


@pytest.mark.parametrize(("file", "text"), [
    ("model.onnx", b"damaged"), ("facts.json", b"{}"), ("facts.json", b'{"difference": "x"}'),
])  # fmt: skip
def test_a_damaged_cache_is_made_anew(file, text, made, cache):
    first = engine(member(1))
    (place,) = cache.iterdir()
    (place / file).write_bytes(text)
    second = engine(member(1))
    assert len(made[0]) == 2 and second.attrs == first.attrs
    engine(member(1))
    assert len(made[0]) == 2


@pytest.mark.parametrize("by", [0.5, float("nan")])
def test_a_model_that_disagrees_is_refused_and_not_tried_again(by, made, cache):
    made[1]["by"] = by
    for _ in range(2):
        with pytest.raises(CryonetError, match="disagrees with torch") as found:
            engine(member(1))
    assert "predict with torch" in found.value.rule
    assert len(made[0]) == 1 and not list(cache.glob("*/model.onnx"))


class Clock:
    """Times that networks take, in place of those of a race."""

    def __init__(self, seconds):
        self.seconds, self.runs = seconds, []

    def race(self, job, networks):
        self.runs.append(sorted(networks))
        return {name: self.seconds[name] for name in networks}


def timed(monkeypatch, **seconds):
    clock = Clock(seconds)
    monkeypatch.setattr(backend._Job, "_race", lambda job, networks: clock.race(job, networks))
    return clock


@pytest.mark.parametrize(("torch_", "onnx", "windows", "taken", "trials"), [
    (2.0, 1.0, WINDOWS, True, 2),
    (2.0, 1.9, WINDOWS, False, 2),
    (2.0, 3.0, WINDOWS, False, 2),
    (2.0, 1.0, WINDOWS - 1, False, 0),
    (SECONDS / 100, 0.1, 99, False, 1),
    (SECONDS / 100, 0.1, 101, True, 2),
])  # fmt: skip
def test_auto_takes_what_is_faster_where_there_is_work(
    torch_, onnx, windows, taken, trials, made, monkeypatch
):
    clock = timed(monkeypatch, torch=torch_, onnxruntime=onnx)
    model = member(1)
    for _ in range(2):
        found = engine(model, backend="auto", windows=windows)
        assert (found.module is model.module) != taken
        assert found.attrs["backend"] == (runtime_name() if taken else "torch")
        assert "backend_remark" not in found.attrs
    # The second time nothing is timed or converted.
    assert clock.runs == [["torch"], [RUNTIME, "torch"]][:trials]
    assert len(made[0]) == (trials == 2)


def test_auto_measures_anew_for_other_threads(monkeypatch):
    clock = timed(monkeypatch, torch=2.0, onnxruntime=1.0)
    engine(member(1), backend="auto", windows=WINDOWS)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    engine(member(1), backend="auto", windows=WINDOWS)
    assert len(clock.runs) == 4


def test_the_race_gives_each_network_its_own_median():
    class Sleeper(torch.nn.Module):
        def __init__(self, seconds):
            super().__init__()
            self.seconds = seconds

        def forward(self, image):
            backend.time.sleep(self.seconds)
            return image

    job = backend._Job(member(1), SIZE, Said())
    found = job._race({"slow": Sleeper(0.05), "fast": Sleeper(0.01)})
    assert 0.05 <= found["slow"] < 0.09 and 0.01 <= found["fast"] < 0.04


def test_auto_goes_back_to_torch_and_says_why(made, monkeypatch, tmp_path):
    timed(monkeypatch, torch=2.0, onnxruntime=1.0)
    made[1]["by"] = 0.5
    found = engine(member(1), backend="auto", windows=WINDOWS)
    assert found.attrs["backend"] == "torch"
    (remark,) = prediction_remarks(found.attrs)
    assert remark.startswith("Predicted with torch: the converted model disagrees")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CRYONET_CACHE", str(tmp_path / "file"))
    (remark,) = prediction_remarks(engine(member(2), backend="auto", windows=WINDOWS).attrs)
    assert "the cache cannot be written" in remark and "CRYONET_CACHE" in remark
    made[1]["by"] = 0.0
    asked = engine(member(2))
    assert asked.attrs["backend"] == runtime_name()
    assert "could not be kept" in prediction_remarks(asked.attrs)[0]


def test_what_onnx_runtime_is_not_for(monkeypatch):
    model = member(1)
    forest = model.manifest.model_copy(update={"model": ForestConfig(architecture="forest")})
    baseline = type(model)(model.module, forest)
    monkeypatch.setattr(backend.Kept, "keep_trial", None)  # auto asks for none of it
    with pytest.raises(ConfigError, match="single pixels"):
        engine(baseline)
    with pytest.raises(ConfigError, match="CPU only"):
        engine(model, device=torch.device("cuda"))
    with pytest.raises(ConfigError, match="the backend is unknown: openvino"):
        engine(model, backend="openvino")
    for given, device in ((baseline, CPU), (model, torch.device("cuda"))):
        found = engine(given, backend="auto", device=device, windows=1000)
        assert found.attrs == {"backend": "torch"}
    monkeypatch.setattr(backend, "missing_packages", lambda: ["onnxscript"])
    with pytest.raises(ConfigError, match=r"not installed: missing: onnxscript\. Install it"):
        engine(model)
    assert engine(model, backend="auto", windows=1000).attrs == {"backend": "torch"}


def test_a_cluster_predicts_with_torch():
    models = Models((), (), PassOptions(backend=RUNTIME))
    with pytest.raises(ConfigError, match="a cluster predicts with torch: onnxruntime"):
        models.on(object())
    assert models.on(None) is models


def stream(scene, out, name, **options):
    passes = [ModelPass(member(1), scene, device="cpu", backend=name)]
    about = PASSPORT | {"settings": PASSPORT["settings"] | {"backend": name}}
    return stream_prediction(passes, out, passport=about, **options)


@pytest.mark.parametrize(("first", "then"), [("torch", RUNTIME), (RUNTIME, "torch")])
def test_an_unfinished_prediction_is_never_gone_on_with_by_another(first, then, tmp_path):
    """T9, T10."""
    scene, out = make_scene(300, 100), tmp_path / "map"
    with pytest.raises(Cancelled):
        stream(scene, out, first, progress=StopAt(0.5))
    with pytest.raises(CryonetError, match="made otherwise: backends"):
        stream(scene, out, then)
    # What was asked for is free if the same came of it.
    stream(scene, out, "auto" if first == "torch" else first)
    stream(scene, tmp_path / "whole", first)
    alike(out, tmp_path / "whole")
    assert read_passport(out)["prediction"]["backend"].split()[0] == first
    for name in ("torch", RUNTIME):
        passes = [ModelPass(member(1), scene, device="cpu", backend=name)]
        assert is_predicted(passes, out, passport=PASSPORT) is (name == first)


def test_on_the_command_line(bundle, blobs, tmp_path):  # noqa: F811
    save_bundle(bundle, tmp_path / "bundle")
    write_scene(blobs, tmp_path / "scene")

    def predict(out, *more):
        given = ["predict", "bundle", "scene", out, "--device", "cpu", *more]
        return CliRunner().invoke(
            app, [str(tmp_path / a) if a in ("bundle", "scene", out) else a for a in given]
        )

    assert predict("auto").exit_code == 0
    assert read_passport(tmp_path / "auto")["prediction"]["backend"] == "torch"
    found = predict("onnx", "--backend", "onnxruntime")
    assert found.exit_code == 0, found.output
    passport = read_passport(tmp_path / "onnx")
    assert passport["prediction"]["backend"] == runtime_name()
    assert passport["settings"]["backend"] == "onnxruntime"
    assert passport["prediction"]["backend_check"]["difference"] <= 1e-3
    json.dumps(passport, allow_nan=False)
    refused = predict("none", "--backend", "tensorrt")
    assert refused.exit_code == 2 and not (tmp_path / "none").exists()


def test_the_place_is_the_same_in_every_process():
    """No address of an object is in what it hangs on."""
    place = backend._Job(member(1), SIZE, Said()).place()
    assert isinstance(place, Kept) and " at 0x" not in repr(member(1).module)
    assert place.folder == backend._Job(member(1), SIZE, Said()).place().folder
