"""The roofline bound: closed forms, the data sheets' own arithmetic, and times that others measured."""

from pathlib import Path

import catscale
import pytest
from catscale.scaler.memory import memory
from catscale.scaler.roofline import Dtype, Roofline, known_devices, roofline
from hypothesis import given, settings
from hypothesis import strategies as st

peaks = st.floats(0.1, 2000)
DTYPES: tuple[Dtype, ...] = ("fp32", "tf32", "bf16", "fp16", "int8")


def bound(model: str, device: str, dtype: str = "fp16", batch: int = 1) -> Roofline:
    return roofline(memory(catscale.load(model).cost(), dtype, batch), device)


@settings(max_examples=50, deadline=None)
@given(peak=peaks, bandwidth=peaks, batch=st.integers(1, 64))
def test_a_layer_takes_the_longer_of_its_two_times(peak: float, bandwidth: float, batch: int) -> None:
    moved = memory(catscale.load("yolov7").cost(), "fp16", batch)
    line = Roofline(moved, "a device", peak * 1e12, bandwidth * 1e9)
    ridge = peak * 1e12 / (bandwidth * 1e9)
    for name, layer in moved.layers.items():
        expected = max(layer.flops / (peak * 1e12), layer.bytes / (bandwidth * 1e9))
        assert line.layers[name].time_s == pytest.approx(expected, rel=1e-12)
        if layer.bytes and layer.intensity != pytest.approx(ridge):
            assert line.layers[name].by == ("compute" if layer.intensity > ridge else "memory")
    total = line.total
    assert sum(block.time_s for block in line.blocks.values()) == pytest.approx(total.time_s)
    assert line.fused_s <= total.time_s
    assert max(total.compute_s, total.memory_s) <= total.time_s * (1 + 1e-12)
    assert total.time_s <= (total.compute_s + total.memory_s) * (1 + 1e-12)


def test_a_whole_detector_at_a_glance(tmp_path: Path) -> None:
    """With bandwidth to spare only the FLOPs count, with FLOPs to spare only the bytes."""
    (tmp_path / "slow.yaml").write_text("peak_tflops: {fp16: 1.0e-3}\nbandwidth_gbs: 1.0e+9\n", encoding="utf-8")
    (tmp_path / "narrow.yaml").write_text("peak_tflops: {fp16: 1.0e+9}\nbandwidth_gbs: 1\n", encoding="utf-8")
    cost = catscale.load("yolov7").cost()
    slow, narrow = (roofline(memory(cost), str(tmp_path / f"{name}.yaml")) for name in ("slow", "narrow"))
    assert slow.total.time_s == pytest.approx(cost.flops("paper") / 1e9)
    assert slow.total.by == "compute"
    assert narrow.total.time_s == pytest.approx(memory(cost).total.bytes / 1e9)
    assert narrow.total.by == "memory"
    ends = 3 * 640**2 + 25_200 * 85  # image and boxes
    assert narrow.fused_s == pytest.approx(2 * (cost.params + ends) / 1e9)


@pytest.mark.parametrize(
    ("model", "batch_1_fps", "batch_32_ms"),
    [
        ("yolov7", 161, 2.8),
        ("yolov7-x", 114, 4.3),
        ("yolov7-w6", 84, 7.6),
        ("yolov7-e6", 56, 12.3),
        ("yolov7-d6", 44, 15.0),
        ("yolov7-e6e", 36, 18.7),
    ],
)
def test_the_published_times_of_a_v100_are_above_the_bound(model: str, batch_1_fps: float, batch_32_ms: float) -> None:
    """Forward in fp16, as the YOLOv7 project prints them beside its Table 2: none faster, none by a factor of ten."""
    one, many = bound(model, "v100-sxm2").total.time_s, bound(model, "v100-sxm2", batch=32).total.time_s / 32
    assert one < 1 / batch_1_fps < 10 * one
    assert many < batch_32_ms / 1e3 < 10 * many


@pytest.mark.parametrize(
    ("device", "dtype", "cores", "multiply_adds", "ghz", "bus_bits", "gbit_s"),
    [  # tensor cores, multiply-adds of each in a clock, boost clock; width of the memory's bus, rate of a pin
        ("v100-sxm2", "fp16", 640, 64, 1.53, 4096, 1.754),
        ("a100-40gb", "fp16", 432, 256, 1.41, 5120, 2.43),
        ("a100-80gb", "bf16", 432, 256, 1.41, 5120, 3.186),
        ("h100-sxm", "fp16", 528, 512, 1.83, 5120, 5.238),
        ("t4", "fp16", 320, 64, 1.59, 256, 10),
        ("rtx-3090", "fp16", 328, 128, 1.695, 384, 19.5),
        ("rtx-4090", "fp16", 512, 128, 2.52, 384, 21),
        ("jetson-agx-orin-64gb", "int8", 64, 512, 1.3, 256, 6.4),
    ],
)
def test_the_printed_peaks_are_cores_times_clock(
    device: str, dtype: Dtype, cores: int, multiply_adds: int, ghz: float, bus_bits: int, gbit_s: float
) -> None:
    """The vendors' architecture papers give the factors; their data sheets the products that the table holds."""
    known = known_devices()[device]
    assert known.peak_tflops[dtype] == pytest.approx(2 * cores * multiply_adds * ghz / 1e3, rel=0.01)
    assert known.bandwidth_gbs == pytest.approx(bus_bits * gbit_s / 8, rel=0.01)


def test_every_device_names_its_source_and_narrow_numbers_are_never_slower() -> None:
    for name, known in known_devices().items():
        assert known.source, name
        peaks = [known.peak_tflops[dtype] for dtype in DTYPES if dtype in known.peak_tflops]
        assert peaks == sorted(peaks), name


def test_an_h200_is_an_h100_with_faster_memory() -> None:
    h100, h200 = known_devices()["h100-sxm"], known_devices()["h200-sxm"]
    assert h200.peak_tflops == h100.peak_tflops
    assert h200.bandwidth_gbs > h100.bandwidth_gbs


def test_a_device_that_is_better_in_both_is_never_slower() -> None:
    times = [bound("yolov7", name).total.time_s for name in ("t4", "v100-sxm2", "a100-40gb", "a100-80gb", "h100-sxm")]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("device", "dtype", "message"),
    [
        ("v100", "fp16", "no device is called 'v100'; did you mean 'v100-sxm2'?, or name a YAML file"),
        ("v100-sxm2", "bf16", "v100-sxm2: no peak is known for bf16; there is one for fp32, fp16"),
        ("none.yaml", "fp16", "none.yaml: cannot be read: No such file"),
    ],
)
def test_an_unknown_device_is_refused(device: str, dtype: str, message: str) -> None:
    with pytest.raises(catscale.InputError) as caught:
        bound("yolov7", device, dtype)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("peak_tflops: {fp16: 0}\nbandwidth_gbs: 1\n", "peak_tflops.fp16: input should be greater than 0, not 0"),
        ("peak_tflops: {fp16: .nan}\nbandwidth_gbs: 1\n", "peak_tflops.fp16: input should be a finite number"),
        ("peak_tflops: {}\nbandwidth_gbs: 1\n", "peak_tflops: Dictionary should have at least 1 item"),
        ("peak_tflops: {fp17: 1}\nbandwidth_gbs: 1\n", "input should be 'fp32', 'tf32', 'fp16', 'bf16' or 'int8'"),
        ("peak_tflops: {fp16: 1}\nbandwith_gbs: 1\n", "unknown key 'bandwith_gbs'; did you mean 'bandwidth_gbs'?"),
        ("peak_tflops: {fp16: 1}\n", "'bandwidth_gbs' is missing"),
        ("peak_tflops: {fp16: fast}\nbandwidth_gbs: 1\n", "peak_tflops.fp16: input should be a valid number"),
    ],
)
def test_a_mistake_in_a_device_file_is_one_message(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(catscale.InputError) as caught:
        bound("yolov7", str(path))
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
