"""The zoo: derived models follow from their base by the rule, and files say what the values are."""

from pathlib import Path

import catscale
import pytest
import yaml
from catscale.scaler import zoo

DERIVED = {
    "yolov7-x": ("yolov7-x-light", {"compound": 1.5}),
    "yolov7-e6": ("yolov7-w6", {"compound": 1.5, "transition": "downc"}),
    "yolov7-d6": ("yolov7-w6", {"compound": 2, "transition": "downc"}),
    "yolov7-e6e": ("yolov7-e6", {"extend": 2}),
    "yolor-csp": ("yolov4-csp", {"implicit": True}),
    "yolor-csp-x": ("yolor-csp", {"width": 1.25, "depth": 1.33}),
    "yolor-e6": ("yolor-w6", {"width": 1.25, "transition": "downc"}),
    "yolor-d6": ("yolor-e6", {"depth": {f"backbone.p{level}": 2.2 for level in (3, 4, 5, 6)}}),
    "yolor-w6-repcsp": ("yolor-w6", {"rep": "repconv@backbone.*.csp", "force": True}),
    "yolor-w6-rcsp": ("yolor-w6", {"dark": {"backbone": "reversed"}}),
    "yolor-w6-reprcsp": ("yolor-w6-rcsp", {"rep": "repconv@backbone.*.csp"}),
    "yolov7-x-light-3-stacked": ("yolov7-x-light", {"depth": 1.5}),
    "yolov7-tiny-silu": ("yolov7-tiny", {"activation": "silu", "resolution": 640}),
}
SIZES = {"n": (0.33, 0.25), "s": (0.33, 0.5), "m": (0.67, 0.75), "x": (1.33, 1.25)}  # depth and width of YOLOv5's
DERIVED |= {
    f"{family}-{size}{p6}": (f"{family}-l{p6}", {"depth": depth, "width": width})
    for family, p6 in (("yolov5", ""), ("yolov5", "6"), ("yolox", ""), ("pp-yoloe", ""))
    for size, (depth, width) in SIZES.items()
    if size != "n" or family == "yolov5"
}
BASES = {"yolov5-l", "yolov5-l6", "yolox-l", "pp-yoloe-l", "yolov4", "yolov4-tiny", "yolov4-tiny-3l"}
BASES |= {"yolov7-tiny", "yolov7", "yolov7-x-light", "yolov7-w6", "yolov4-csp", "yolor-p6", "yolor-w6"}


@pytest.mark.parametrize(("model", "origin"), DERIVED.items())
def test_a_derived_model_is_its_base_scaled_node_by_node(model: str, origin: tuple[str, dict[str, object]]) -> None:
    base, scalings = origin
    assert catscale.load(base).scale(**scalings).replace(name=model) == catscale.load(model)


def test_only_bases_are_written_out() -> None:
    """A recipe says base and scalings, nothing else: no width of a derived model stands anywhere."""
    folder = Path(zoo.__file__).parent
    for name in catscale.names():
        keys = set(yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8")))
        assert keys == {"base", "scale"} if name not in BASES else "nodes" in keys


@pytest.mark.parametrize("model", catscale.names())
def test_writing_and_reading_gives_an_equal_architecture(model: str, tmp_path: Path) -> None:
    path = tmp_path / "copy.yaml"
    path.write_text(catscale.load(model).to_yaml(), encoding="utf-8")
    assert catscale.load(path) == catscale.load(model)


def test_released_w6_alone_has_wider_auxiliary_convs() -> None:
    """Facts of the released models: W6's auxiliary convs are as wide as E6's, not as its own lead convs."""

    def aux_widths(model: str) -> list[int]:
        architecture = catscale.load(model)
        return [node.built.out for node in architecture.nodes if node.name in architecture.aux]  # type: ignore[attr-defined]

    assert aux_widths("yolov7-w6") == aux_widths("yolov7-e6") == [320, 640, 960, 1280]
    assert aux_widths("yolov7-d6") == [384, 768, 1152, 1536]


def test_e6e_reads_its_auxiliary_heads_before_the_merge() -> None:
    architecture = catscale.load("yolov7-e6e")
    read = [node.inputs[0] for node in architecture.nodes if node.name in architecture.aux]
    expected = [f"neck.p{level}.elan1.group2.out" for level in (3, 4, 5)]
    assert read == [*expected, "neck.p6.spp"]


def test_equal_graphs_have_equal_fingerprints_whatever_their_names() -> None:
    base = catscale.load("yolov7-tiny")
    assert base.replace(name="other").fingerprint == base.fingerprint
    assert base.scale(width=2).scale(width=0.5).fingerprint == base.fingerprint
    assert base.scale(compound=1.5).fingerprint != base.fingerprint
    assert base.replace(classes=3).fingerprint != base.fingerprint


def test_a_recipe_beside_its_base_file(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(catscale.load("yolov7-tiny").to_yaml(), encoding="utf-8")
    (tmp_path / "narrow.yaml").write_text("base: base.yaml\nscale: {width: 0.5}\n", encoding="utf-8")
    assert catscale.load(tmp_path / "narrow.yaml") == catscale.load("yolov7-tiny").scale(width=0.5).replace(
        name="narrow"
    )
