"""Which form of E-ELAN is faster here: groups side by side, or group convolutions, in one run.

Run by `make bench`. The same deployed weights in both forms (`scaler.cardinality`), on this machine's CPU and, where
there is one, its GPU; whole models, and single blocks of yolov7-e6e at the shapes that they have there. The forms take
turns.
"""

import platform
import statistics
import time
from collections.abc import Callable

import catscale
import torch
from catscale.blocks.convs import ConvNode
from catscale.scaler.architecture import Architecture, Node
from catscale.scaler.cardinality import regroup

ROUNDS, WARM = 9, 2
FORMS = ("parallel", "grouped")
WIDTH, SIZE = 0.5, 320  # of the whole model
BLOCK_SIZE = 640  # pixels of the image at which single blocks of the full width are measured
BLOCKS = ("backbone.p2.elan", "backbone.p4.elan", "backbone.p6.elan", "neck.p3.elan1")


def test_eelan(capsys) -> None:  # type: ignore[no-untyped-def]
    model = catscale.load("yolov7-e6e")
    cases = {f"yolov7-e6e, width {WIDTH:g}, {SIZE} px": model.scale(width=WIDTH, resolution=SIZE)}
    for name in BLOCKS:
        alone, reads = block_alone(model, name)
        cases[f"{name} of {reads}"] = alone
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rows: list[str] = []
    for device in devices:
        for case, architecture in cases.items():
            times = measured(architecture, torch.rand(1, 3, architecture.size, architecture.size, device=device))
            base = statistics.median(times["parallel"])
            for form, samples in times.items():
                low, _, high = statistics.quantiles(samples, n=4)
                median = statistics.median(samples)
                rows.append(
                    f"{device:5} {case:42} {form:9} {median:9.2f} ms  ({low:.2f} to {high:.2f})  {base / median:5.2f} x"
                )
    with capsys.disabled():
        print(f"\nE-ELAN by form, 2 groups, deployed, batch 1: median (quartiles) of {ROUNDS} interleaved rounds")
        gpu = f", {torch.cuda.get_device_name()}" if "cuda" in devices else ""
        print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}{gpu}")
        print("\n".join(rows))


def block_alone(model: Architecture, name: str) -> tuple[Architecture, str]:
    """A detector of one block on as many channels as it reads, and what it reads, in words.

    A 1x1 conv before it makes the channels, a head of one anchor and one class follows: little beside the block.
    """
    (node,) = (node for node in model.nodes if node.name == name)
    graph = model.graph()
    (stem,) = (layer for layer in graph.layers if layer.name == f"{name}.stem")
    shape = graph.shapes(BLOCK_SIZE)[stem.inputs[0]]
    alone = Architecture(
        name=name,
        size=shape.height,
        nodes=(Node("read", ConvNode(shape.channels), ("image",)), Node("elan", node.block, ("read",))),
        heads=("elan",),
        anchors=(((10.0, 13.0),),),
        classes=1,
    )
    return alone, str(shape)


def measured(architecture: Architecture, x: torch.Tensor) -> dict[str, list[float]]:
    """Milliseconds of each form, the forms taking turns."""
    train = catscale.build(architecture).eval()
    x = x.to(memory_format=torch.channels_last)
    models = {form: catscale.deploy(regroup(train, form)).to(x.device) for form in FORMS}
    times: dict[str, list[float]] = {form: [] for form in FORMS}
    with torch.inference_mode():
        expected, given = (model(x) for model in models.values())
        assert torch.allclose(expected, given, rtol=1e-3, atol=1e-3)
        for round_ in range(ROUNDS + WARM):
            for form, model in models.items():
                took = milliseconds(lambda model=model: model(x), x.device.type)
                if round_ >= WARM:
                    times[form].append(took)
    return times


def milliseconds(run: Callable[[], object], device: str) -> float:
    wait: Callable[[], object] = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    run()
    wait()
    return 1e3 * (time.perf_counter() - start)
