"""Export, then import: the same detector, for the zoo and for odd variants, which a second reader finds consistent."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import catscale
import pytest
from catscale.blocks.csp import CspA, CspB
from catscale.blocks.elan import Elan
from catscale.blocks.roles import Block
from catscale.scaler.architecture import Architecture
from catscale.scaler.official.text import official_yaml
from catscale.scaler.reparam import RepPlace
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ..zoo_models import WITH_ANCHORS

NO_OFFICIAL_FORM = {"yolov4", "yolov4-tiny", "yolov4-tiny-3l"}


def as_built(architecture: Architecture) -> Architecture:
    """Without the note that a released model departs from the rule, which an official file cannot hold."""
    nodes = tuple(replace(node, block=node.built, released=None) for node in architecture.nodes)
    return replace(architecture, nodes=nodes)


def reimported(architecture: Architecture, folder: Path, form: Any = "train") -> Architecture:
    path = folder / f"{architecture.name}.yaml"
    path.write_text(official_yaml(architecture, form), encoding="utf-8")
    return catscale.load(path).replace(size=architecture.size)


@pytest.mark.parametrize("model", [model for model in WITH_ANCHORS if model.values[0] not in NO_OFFICIAL_FORM])
def test_a_zoo_model_comes_back_node_by_node(model: str, tmp_path: Path) -> None:
    architecture = catscale.load(model)
    back = reimported(architecture, tmp_path)
    assert back.replace(rep=()) == as_built(architecture).replace(rep=())
    assert back.fingerprint == architecture.fingerprint  # a plan of RepConvs too, in whatever words it is put


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("yolov4", r"stem\.conv: a convolution with mish; use silu or leaky_relu"),
        (
            "yolov4-tiny",
            r"osa\.half\): one of 2 groups of channels read by itself, or folded; use E-ELAN",
        ),
        ("yolox-s", r"its head, decoupled, is no official module; an anchor head is \(--head anchor\)"),
    ],
)
def test_what_has_no_official_module_is_refused_by_name(model: str, words: str) -> None:
    with pytest.raises(catscale.InputError, match=rf"{model}: no official .*{words}"):
        official_yaml(catscale.load(model))


def test_a_channel_attention_has_no_official_module() -> None:
    anchors = [[10, 13], [30, 61], [116, 90]]
    with pytest.raises(catscale.InputError, match=r"a channel attention; leave it out; no official module has one"):
        official_yaml(catscale.load("pp-yoloe-s").scale(head="anchor", anchors=anchors), "deploy")


def test_an_imported_model_scales_as_the_zoos_own(tmp_path: Path) -> None:
    """The paper's rule on a file that knows nothing of it: W6, imported, becomes E6 and D6 node by node."""
    w6 = reimported(catscale.load("yolov7-w6"), tmp_path)
    for factor, model in ((1.5, "yolov7-e6"), (2, "yolov7-d6")):
        scaled = w6.scale(compound=factor, transition="downc").replace(name=model)
        expected = catscale.load(model)
        assert scaled.replace(aux=()).cost().params == expected.cost().params
        lead = [node for node in expected.nodes if node.name not in expected.aux]
        assert [node for node in scaled.nodes if node.name not in scaled.aux] == lead


def changed(architecture: Architecture, kind: type[Block], **options: Any) -> Architecture:
    nodes = (
        replace(node, block=replace(node.block, **options)) if isinstance(node.block, kind) else node  # type: ignore[type-var]
        for node in architecture.nodes
    )
    return replace(architecture, nodes=tuple(nodes))


def with_identity(*places: str) -> tuple[RepPlace, ...]:
    return tuple(RepPlace(place, "forced") for place in places)


def grouped(model: str) -> Architecture:
    return changed(catscale.load(model).scale(extend=2).replace(aux=()), Elan, form="grouped")


ODD = {
    "fractional width": lambda: catscale.load("yolov7").scale(width=0.3, divisor=16),
    "fractional width, leaky": lambda: catscale.load("yolov7-tiny").scale(width=0.375),
    "each part its depth": lambda: catscale.load("yolov7").scale(compound={"backbone": 1.5, "neck": 1.0}),
    "one stage its depth": lambda: catscale.load("yolov7-w6").scale(depth={"backbone.p4": 2, "neck.p5": 0.5}),
    "shallower": lambda: catscale.load("yolov7-e6").scale(compound=1 / 3),
    "extended, partial aux": lambda: catscale.load("yolov7-w6").scale(extend=2),
    "three groups": lambda: catscale.load("yolov7-w6").scale(extend=3, width=0.5),
    "grouped": lambda: grouped("yolov7"),
    "grouped, leaky": lambda: grouped("yolov7-tiny"),
    "chains of another length": lambda: catscale.load("yolor-csp").scale(width=0.6, divisor=16, depth=1.7),
    "reversed dark blocks": lambda: changed(catscale.load("yolor-p6"), CspA, reversed=True),
    "residual necks": lambda: changed(catscale.load("yolor-p6"), CspB, residual=True),
    "leaky where modules are SiLU": lambda: catscale.load("yolor-w6").scale(activation="leaky_relu"),
    "other transitions": lambda: catscale.load("yolov7-x").scale(transition="downc"),
    "RepConvs in a block": lambda: catscale.load("yolov7").replace(
        rep=with_identity("backbone.*.tap*.conv1", "neck.p4.elan2.tap2.conv1")
    ),
    "RepConvs that no identity fits": lambda: catscale.load("yolov7").replace(rep=with_identity("neck.*.tap1.conv1")),
    "strided RepConvs": lambda: catscale.load("yolov7").replace(rep=with_identity("stem.conv4")),
    "RepConvs in a chain": lambda: catscale.load("yolov4-csp").replace(rep=with_identity("*.block*.conv2")),
    "few classes": lambda: catscale.load("yolov7-e6e").replace(classes=3).scale(width=0.5, divisor=16),
}


@pytest.mark.parametrize("variant", ODD)
def test_an_odd_variant_comes_back_and_another_reader_finds_the_same(
    variant: str, tmp_path: Path, read_by_rows: Any
) -> None:
    architecture = ODD[variant]().replace(name="odd")
    read = read_by_rows(official_yaml(architecture))
    assert read.params == architecture.cost().params_train
    assert len(read.outputs) == len(architecture.heads) + len(architecture.aux)
    for form in ("train", "deploy"):
        back = reimported(architecture, tmp_path, form)
        assert back.cost().params == architecture.cost().params
        assert back.has_aux == (architecture.has_aux and form == "train")
        assert back.implicit == (architecture.implicit and form == "train")
    assert reimported(architecture, tmp_path).fingerprint == architecture.fingerprint


@settings(
    max_examples=12, phases=[Phase.generate], deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    model=st.sampled_from(["yolov7-tiny", "yolov7", "yolov7-w6", "yolor-p6", "yolov4-csp"]),
    width=st.floats(0.1, 1.3),
    depths=st.dictionaries(st.sampled_from(["backbone", "neck"]), st.sampled_from([0.5, 1, 1.5, 2]), min_size=1),
    groups=st.integers(1, 3),
    classes=st.integers(1, 90),
)
def test_any_variant_comes_back(
    model: str, width: float, depths: dict[str, float], groups: int, classes: int, tmp_path: Path, read_by_rows: Any
) -> None:
    architecture = (
        catscale.load(model).scale(depth=depths, width=width, divisor=16).replace(classes=classes, name="any")
    )
    if model.startswith("yolov7"):
        architecture = architecture.scale(extend=groups).replace(name="any")
    assert read_by_rows(official_yaml(architecture)).params == architecture.cost().params_train
    back = reimported(architecture, tmp_path)
    assert back.fingerprint == architecture.fingerprint
    found, expected = (
        [(node.name, type(node.block), node.inputs) for node in each.nodes] for each in (back, architecture)
    )
    assert found == expected  # blocks may differ in how they say the same: a stem as wide as the rest, or none
