"""A detector as ONNX, with or without the suppression of overlapping boxes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from torch.fx import GraphModule

from ..scaler.documents import written
from ..scaler.onnx_graph import BOXES, IMAGES, require_onnx, save_onnx, to_onnx
from .export import Check, ExportSettings, Made, Runner, dynamic_shapes, example

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx import ModelProto

DETECTIONS = "detections"


def write_onnx(
    model: GraphModule,
    path: Path,
    settings: ExportSettings,
    facts: dict[str, Any],
    check: "Callable[[Runner], tuple[Check, ...]]",
) -> tuple[str, tuple[Check, ...]]:
    """Write the model by torch's exporter, run it by onnxruntime, and compare; see `export`.

    Raises:
        InputError: onnx, onnxscript or onnxruntime is missing.
    """
    require_onnx("--format onnx", "onnxruntime")
    import onnxruntime

    proto = to_onnx(model, example(settings), dynamic_shapes(model, settings))
    if settings.nms:
        add_suppression(proto, settings, classes=len(facts["names"]))
    with written(path) as beside:
        save_onnx(proto, beside, facts)
        checks = check(lambda inputs: _run(beside, inputs))
    return f"onnxruntime {onnxruntime.__version__}", checks


def _run(path: Path, inputs: list[Tensor]) -> list[Made]:
    """What onnxruntime makes of input batches. Boxes come out too where the file itself gives detections alone."""
    import onnx
    import onnxruntime

    proto = onnx.load(path)
    wanted = [output.name for output in proto.graph.output]
    if BOXES not in wanted:
        proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(BOXES))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [BOXES, *(name for name in wanted if name != BOXES)]
    return [Made(*map(np.asarray, session.run(names, {IMAGES: batch.numpy()}))) for batch in inputs]


def add_suppression(proto: "ModelProto", settings: ExportSettings, *, classes: int) -> None:
    """Let detections (n, 7) come out of a model that gives boxes (B, N, 5 + classes).

    Rows are the image of the batch, x1, y1, x2, y2 in pixels, score, class; best first. A box counts for its best
    class, as in `suppress(multi_label=False)`; but ONNX's operator counts `max_det` for each class of an image, not
    for the image.

    Source: github.com/onnx/onnx, docs/Operators.md, NonMaxSuppression.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = proto.graph

    def constant(name: str, value: Any, dtype: type) -> str:
        graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=dtype), f"nms.{name}"))
        return f"nms.{name}"

    def node(op: str, *inputs: str, name: str, **attributes: Any) -> str:
        graph.node.append(helper.make_node(op, inputs, [name], name=f"nms.{name}", **attributes))
        return name

    def fields(source: str, start: int, stop: int, name: str, axis: int) -> str:
        bounds = [
            constant(f"{name}.{word}", [at], np.int64) for word, at in (("from", start), ("to", stop), ("axis", axis))
        ]
        return node("Slice", source, *bounds, name=name)

    boxes, objectness = fields(BOXES, 0, 4, "centred", 2), fields(BOXES, 4, 5, "objectness", 2)
    scores = objectness  # with a single class it alone is trained, see `suppress`
    if classes > 1:
        scores = node("Mul", objectness, fields(BOXES, 5, 5 + classes, "classes", 2), name="scores")
    label = node("ArgMax", scores, name="label", axis=2, keepdims=0)
    depth, values = constant("depth", classes, np.int64), constant("values", [0, 1], np.float32)
    best = node("Mul", scores, node("OneHot", label, depth, values, name="best", axis=2), name="best_scores")
    limits = (
        constant("max_det", [settings.max_det], np.int64),
        constant("iou", [settings.iou], np.float32),
        constant("conf", [settings.conf], np.float32),
    )
    turned = node("Transpose", best, name="by_class", perm=[0, 2, 1])
    picked = node("NonMaxSuppression", boxes, turned, *limits, name="picked", center_point_box=1)

    image, kind, row = (fields(picked, at, at + 1, name, 1) for at, name in enumerate(("image", "kind", "row")))
    place = node("Concat", image, row, name="place", axis=1)
    kept = node("GatherND", boxes, place, name="kept")
    score = node("GatherND", scores, node("Concat", place, kind, name="cell", axis=1), name="score")
    half = node("Mul", fields(kept, 2, 4, "sides", 1), constant("half", 0.5, np.float32), name="half_sides")
    centre = fields(kept, 0, 2, "centres", 1)
    columns = [
        node("Cast", image, name="image_number", to=TensorProto.FLOAT),
        node("Sub", centre, half, name="low"),
        node("Add", centre, half, name="high"),
        node("Unsqueeze", score, constant("last", [1], np.int64), name="score_column"),
        node("Cast", kind, name="class_number", to=TensorProto.FLOAT),
    ]
    rows = node("Concat", *columns, name="rows", axis=1)
    graph.node.append(helper.make_node("TopK", [score, node("Shape", score, name="count")], ["best_first", "order"]))
    node("Gather", rows, "order", name=DETECTIONS, axis=0)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(DETECTIONS, TensorProto.FLOAT, ["detections", 7]))
