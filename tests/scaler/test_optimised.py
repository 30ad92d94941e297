"""Detectors made fast for their device: the same function, nothing written that is still to be read, refusals."""

import copy
from collections.abc import Callable
from operator import add as _add
from operator import iadd as _iadd
from pathlib import Path
from typing import Any

import catscale
import pytest
import torch
from catscale.blocks.errors import CatscaleError, InputError
from catscale.blocks.modules import ConvLayer, DetectLayer
from catscale.scaler import onednn
from catscale.scaler.number_formats import half_of, quick_dtype
from catscale.scaler.optimised import Compiled, optimised
from catscale.scaler.rewrites import add_in_place, cascade_pools
from torch import Tensor, fx

from .trained_alike import trained_alike
from .zoo_models import SMALL

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SCALED = [("yolov7-tiny", {"depth": 2.0}), ("yolov7-tiny", {"extend": 2})]
SIZE = 64


def narrow(name: str, **scaling: Any) -> fx.GraphModule:
    """A narrow deploy model of the zoo with weights as after training."""
    torch.manual_seed(0)
    architecture = catscale.load(name).scale(width=0.125, **scaling)
    model = catscale.build(architecture)
    trained_alike(model)
    return catscale.deploy(model.eval())


def images(model: fx.GraphModule, batch: int = 1) -> Tensor:
    side = max(SIZE, model.meta["architecture"].strides[-1])
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(1))


class Watched(fx.Interpreter):
    """Runs a model and holds every value that a layer reads against what it was when it was made."""

    def __init__(self, model: fx.GraphModule) -> None:
        super().__init__(model, garbage_collect_values=False)
        self.made: dict[fx.Node, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        for read in n.all_input_nodes:
            assert torch.equal(self.env[read], self.made[read]), f"{n} reads {read}, which was written over"
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.made[n] = value.clone()
        return value


@pytest.mark.parametrize(("name", "scaling"), [*((name, {}) for name in SMALL), *SCALED], ids=str)
def test_the_fast_form_computes_the_same_and_writes_over_nothing_that_is_read(
    name: str, scaling: dict[str, Any]
) -> None:
    model = narrow(name, **scaling)
    x = images(model)
    with torch.inference_mode():
        exact, plain, fast = copy.deepcopy(model).double()(x.double()), model(x), optimised(model)(x)
        rewritten = copy.deepcopy(model)
        cascade_pools(rewritten)
        add_in_place(rewritten)
        assert torch.equal(Watched(rewritten).run(x), plain)
    # Rounding grows with depth and saturated scores hide it: both forms are held against float64, boxes in image sides.
    unit = torch.tensor([x.shape[-1]] * 4 + [1.0])
    off = [float(((found - exact)[..., :5] / unit).abs().max()) for found in (plain, fast)]
    assert off[1] <= 4 * off[0] + 1e-5
    assert off[1] <= 1e-3


def test_images_of_another_batch_and_size_run_too() -> None:
    model = narrow("yolov7-tiny")
    fast = optimised(model)
    for shape in ((3, 3, 96, 160), (1, 3, 32, 32)):
        x = torch.rand(shape)
        torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-3)


def test_the_model_is_left_as_it_is() -> None:
    model = narrow("yolov7-tiny")
    before, code = copy.deepcopy(model.state_dict()), model.code
    optimised(model)
    assert model.code == code
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def drawn(build: Callable[[fx.Graph, fx.Node], fx.Node]) -> fx.GraphModule:
    graph = fx.Graph()
    graph.output(build(graph, graph.placeholder("images")))
    return fx.GraphModule({}, graph)


def test_a_sum_is_made_in_place_only_where_nothing_else_reads_its_part() -> None:
    def shared(graph: fx.Graph, x: fx.Node) -> fx.Node:
        part = graph.call_function(torch.cat, ([x, x], 1))
        total = graph.call_function(torch.add, (part, 1))
        joined = graph.call_function(_add, (part, total))  # `part` is read once more below; `total` may be a view
        return graph.call_function(torch.cat, ([joined, part], 1))

    def alone(graph: fx.Graph, x: fx.Node) -> fx.Node:
        return graph.call_function(_add, (x, graph.call_function(torch.cat, ([x], 1))))

    x = torch.rand(1, 2, 4, 4)
    for make, rewritten in ((shared, False), (alone, True)):
        model = drawn(make)
        wanted, before = model(x), x.clone()
        add_in_place(model)
        assert any(node.target is _iadd for node in model.graph.nodes) == rewritten
        assert torch.equal(Watched(model).run(x), wanted)
        assert torch.equal(x, before)


def test_residual_models_have_sums_in_place_and_pyramids_small_pools() -> None:
    model = narrow("yolov4-csp")
    cascade_pools(model)
    add_in_place(model)
    targets = [node.target for node in model.graph.nodes]
    assert _iadd in targets
    assert _add not in targets
    kernels = [node.args[1] for node in model.graph.nodes if node.target is torch.nn.functional.max_pool2d]
    assert kernels == [5, 5, 5]


def test_convolutions_are_single_calls_where_onednn_has_them() -> None:
    if not onednn.works(torch.float32):
        pytest.skip("no oneDNN of that kind here")
    fast = optimised(narrow("yolov7-tiny")).run
    assert isinstance(fast, fx.GraphModule)
    assert not any(isinstance(module, ConvLayer) for module in fast.modules())


def test_plain_layers_stay_where_onednn_lacks_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    onednn.works.cache_clear()
    model = narrow("yolov7-tiny")
    assert torch.equal(optimised(model)(images(model)), model(images(model)))
    onednn.works.cache_clear()


def processor(monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    read = Path.read_text

    def read_text(path: Path, *arguments: Any, **options: Any) -> str:
        said = f"flags : fpu {flags}\n"
        return said if str(path) == "/proc/cpuinfo" else read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", read_text)


def test_bfloat16_is_refused_where_it_would_be_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, "avx512f avx512_vnni")
    with pytest.raises(
        InputError, match=r"--dtype bf16: cpu has no bfloat16 arithmetic and would emulate it .*use fp32"
    ):
        quick_dtype("bf16", CPU)
    with pytest.raises(InputError, match=r"--half: cpu has no bfloat16 arithmetic.*leave it out"):
        half_of(CPU)
    with pytest.raises(InputError, match="--dtype fp16: slower than fp32 on cpu; use fp32"):
        quick_dtype("fp16", CPU)
    processor(monkeypatch, "amx_bf16")
    assert (half_of(CPU), quick_dtype("bf16", CPU)) == ("bf16", torch.bfloat16)
    assert (half_of(CUDA), quick_dtype("fp16", CUDA)) == ("fp16", torch.float16)


def test_fast_bfloat16_is_as_exact_as_plain_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, "avx512_bf16")  # emulated where it is not there
    model = narrow("yolov7")
    x = images(model)
    exact, plain = model(x), copy.deepcopy(model).bfloat16()(x.bfloat16())
    found = optimised(model, dtype="bf16")(x)
    assert found.dtype is torch.float32
    for fields in (slice(0, 4), slice(4, None)):
        # The mean: the largest error of saturated random weights is one box's chance.
        off = [float((boxes - exact)[..., fields].abs().mean()) for boxes in (plain, found)]
        assert 0 < off[1] <= 1.25 * off[0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_anchors_are_rounded_by_no_number_format(dtype: torch.dtype) -> None:
    model = narrow("yolov7").to(dtype)
    (layer,) = (module for module in model.modules() if isinstance(module, DetectLayer))
    maps = [
        torch.zeros(1, 3, 1, 1, 85, dtype=dtype) for _ in layer.levels
    ]  # a logit of 0 is a box of its anchor's size
    sides = layer(*maps)[0, :, 2:4].tolist()
    assert sides == [list(pair) for anchors, _ in layer.levels for pair in anchors]  # 401 px has no bfloat16


def test_cuda_graphs_are_refused_on_a_processor() -> None:
    with pytest.raises(
        InputError, match="--runtime cuda-graph: cpu has no CUDA graphs; use --runtime torch or compile"
    ):
        optimised(narrow("yolov7-tiny"), runtime="cuda-graph")


def test_a_failure_to_compile_is_one_message() -> None:
    from torch._dynamo.exc import TorchDynamoException

    def fail(_: Tensor) -> Tensor:
        raise TorchDynamoException("no compiler\nand its story")

    with pytest.raises(
        CatscaleError, match=r"^--runtime compile: torch\.compile failed: no compiler; use --runtime torch"
    ):
        Compiled(fail)(torch.zeros(1))


@pytest.mark.slow
def test_a_compiled_detector_computes_the_same() -> None:
    model = narrow("yolov7-tiny")
    fast = optimised(model, runtime="compile")
    with torch.inference_mode():
        torch.testing.assert_close(fast(images(model)), model(images(model)), rtol=1e-4, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("runtime", ["torch", "cuda-graph", "compile"])
def test_on_a_gpu_each_runtime_computes_the_same_for_each_shape(runtime: Any) -> None:
    model = narrow("yolov7-tiny")
    fast = optimised(model, "cuda", runtime=runtime)
    with torch.inference_mode():
        for batch in (1, 2, 1):
            x = images(model, batch)
            torch.testing.assert_close(fast(x).cpu(), model(x), rtol=1e-2, atol=0.1)
