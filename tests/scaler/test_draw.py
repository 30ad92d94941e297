"""Drawings: what a reader finds in the SVG of a detector, of a block's inside, and of a comparison."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import catscale
import matplotlib
import pytest
from catscale.scaler import layout
from catscale.scaler.architecture import Architecture
from catscale.scaler.draw import draw
from catscale.scaler.layout import COLOURS, INK, render
from PIL import ImageFont

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]
SVG = "{http://www.w3.org/2000/svg}"


def drawn(*architectures: Architecture, node: str | None = None) -> ElementTree.Element:
    """The SVG of one architecture, or of two compared."""
    return ElementTree.fromstring(render(draw(*architectures, node=node), "svg"))


def boxes(svg: ElementTree.Element) -> dict[str, tuple[set[str], list[str]]]:
    """Of each box, by name, its classes and its texts."""
    found: dict[str, tuple[set[str], list[str]]] = {}
    for group in svg.iter(f"{SVG}g"):
        classes = set((group.get("class") or "").split())
        if "node" in classes:
            name = group.findtext(f"{SVG}title") or ""
            assert name not in found
            found[name] = classes - {"node"}, [text.text or "" for text in group.iter(f"{SVG}text")]
    return found


def arrows(svg: ElementTree.Element) -> set[tuple[str, str]]:
    """Source and target of each arrow that is seen, by where its head is."""
    found: set[tuple[str, str]] = set()
    for group in svg.iter(f"{SVG}g"):
        if group.get("class") == "edge":
            tail, _, head = (group.findtext(f"{SVG}title") or "").partition("->")
            *_, end = _numbers((group.find(f"{SVG}path")).get("d"))  # type: ignore[union-attr]
            tip = _numbers(group.find(f"{SVG}polygon").get("points"))[1]  # type: ignore[union-attr]
            start = _numbers((group.find(f"{SVG}path")).get("d"))[0]  # type: ignore[union-attr]
            forwards = abs(complex(*tip) - complex(*end)) < abs(complex(*tip) - complex(*start))
            found.add((tail, head) if forwards else (head, tail))
    return found


def _numbers(text: str | None) -> list[tuple[float, float]]:
    words = (text or "").replace("M", " ").replace("C", " ").split()
    return [(float(x), float(y)) for x, y in (word.split(",") for word in words)]


def changed_texts(svg: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """Each text that is marked as changed, beside the name of its box."""
    for group in svg.iter(f"{SVG}g"):
        if "node" in (group.get("class") or "").split():
            for text in group.iter(f"{SVG}text"):
                if text.get("fill") == layout.CHANGED:
                    yield group.findtext(f"{SVG}title") or "", text.text or ""


@pytest.mark.parametrize("model", ["yolov7-e6e", "yolov7-tiny", "yolov4-csp"])
def test_every_node_and_head_is_drawn_once_with_its_shape(model: str) -> None:
    architecture = catscale.load(model)
    graph, found = architecture.graph(), boxes(drawn(architecture))
    assert found.keys() == {node.name for node in architecture.nodes} | set(graph.lead) | set(graph.aux)
    shapes = {**architecture.cost().outputs, **graph.shapes(architecture.size)}
    for name, (_, texts) in found.items():
        assert texts[0] == name
        assert str(shapes[name]).replace("x", "×") in texts


def test_arrows_are_the_inputs() -> None:
    architecture = catscale.load("yolov7-e6e")
    owners = {node.name for node in architecture.nodes}
    wanted = {
        (source if source in owners else source.rpartition(".group2")[0], node.name)
        for node in architecture.nodes
        for source in node.inputs
        if source != "image"
    }
    for head, layers in ((architecture.heads, architecture.graph().lead), (architecture.aux, architecture.graph().aux)):
        wanted |= set(zip(head, layers, strict=True))
    assert arrows(drawn(architecture)) == wanted


def test_a_band_for_each_stride_holds_what_has_that_stride() -> None:
    """The names of YOLOv7-W6's nodes say their level."""
    architecture = catscale.load("yolov7-w6")
    groups = {group.title: group.boxes for group in draw(architecture).groups}
    assert list(groups) == [f"P{level} · stride {2**level} px" for level in range(1, 7)]
    for level, names in enumerate(groups.values(), start=1):
        assert all(f"p{level}" in name.split(".") or name.startswith("stem.") for name in names)
    titles = {text.text for text in drawn(architecture).iter(f"{SVG}text")}
    assert groups.keys() <= titles


def test_facts_of_blocks_and_transitions_stand_in_their_boxes() -> None:
    """YOLOv7's first ELAN joins 4 x 64 channels; E-ELAN of E6E 2 x (5 x 128) (arXiv:2207.02696, Fig. 2 and 5.1)."""
    found = boxes(drawn(catscale.load("yolov7")))
    _, elan = found["backbone.p2.elan"]
    assert {"width 64", "taps 2", "convs per tap 2", "concat 256"} <= set(" · ".join(elan).split(" · "))
    _, down = found["neck.p4.down"]
    assert {"pool_conv", "in 128", "out 256", "ratio 1:2", "256×40×40"} <= set(" · ".join(down).split(" · "))
    _, extended = boxes(drawn(catscale.load("yolov7-e6e")))["backbone.p3.elan"]
    assert {"groups 2", "concat 2 × 640"} <= set(" · ".join(extended).split(" · "))


def test_kinds_of_nodes_are_told_apart() -> None:
    kinds = {
        name: classes & {k.name.lower() for k in COLOURS}
        for name, (classes, _) in boxes(drawn(catscale.load("yolov7"))).items()
    }
    assert kinds["stem.conv1"] == {"stem"}
    assert kinds["backbone.p3.elan"] == kinds["neck.p4.elan2"] == {"block"}
    assert kinds["backbone.p3.down"] == kinds["neck.p5.down"] == {"transition"}
    assert kinds["neck.p5.spp"] == {"pyramid"}
    assert kinds["neck.p4.top_down"] == {"top_down"}
    assert kinds["neck.p4.join"] == {"join"}
    assert kinds["head.p3"] == {"conv"}
    assert kinds["detect.lead.p3"] == {"lead"}
    pooled, _ = boxes(drawn(catscale.load("yolov7-tiny")))["backbone.p3.down"]  # by a block without a width of its own
    assert pooled == {"transition"}


def test_what_only_training_needs_is_dashed() -> None:
    architecture = catscale.load("yolov7-e6e")
    svg = drawn(architecture)
    dashed = {
        group.findtext(f"{SVG}title")
        for group in svg.iter(f"{SVG}g")
        if "node" in (group.get("class") or "").split()
        and any(shape.get("stroke-dasharray") for shape in group.iter(f"{SVG}path"))
    }
    assert dashed == {*architecture.aux, *architecture.graph().aux}
    assert dashed == {name for name, (_, texts) in boxes(svg).items() if "training only" in texts}
    assert "from group2.out" in boxes(svg)["aux.p4"][1]  # the partial auxiliary head of Table 8


def test_the_inside_of_an_elan_is_its_layers_with_every_tap_joined() -> None:
    svg = drawn(catscale.load("yolov7"), node="neck.p4.elan1")
    node = "neck.p4.elan1"
    convs = {f"{node}.bypass", f"{node}.stem", *(f"{node}.tap{tap}.conv1" for tap in range(1, 5))}
    assert boxes(svg).keys() == convs | {"neck.p4.top_down", f"{node}.concat", f"{node}.out"}
    assert {source for source, target in arrows(svg) if target == f"{node}.concat"} == convs
    assert {target for source, target in arrows(svg) if source == "neck.p4.top_down"} == {
        f"{node}.bypass",
        f"{node}.stem",
    }
    assert "1024×40×40" in boxes(svg)[f"{node}.concat"][1]


def test_inside_of_nodes_the_layers_have_the_params_of_the_train_graph() -> None:
    svg = drawn(catscale.load("yolov7"), node="head.p?")
    _, texts = boxes(svg)["head.p4"]
    assert "rep conv · branches 3×3 + 1×1" in texts
    dense, point, norms = 9 * 256 * 512, 256 * 512, 2 * 2 * 512
    assert any(f"{dense + point + norms:,} params" in text for text in texts)


def test_the_same_drawing_is_the_same_bytes_and_names_no_place_elsewhere() -> None:
    drawing = draw(catscale.load("yolov7-tiny"))
    svg = render(drawing, "svg")
    assert svg == render(drawing, "svg")
    links = svg.replace(b"http://www.w3.org/2000/svg", b"").replace(b"http://www.w3.org/1999/xlink", b"")
    assert b"http" not in links
    assert b"DOCTYPE" not in svg


def test_names_are_escaped() -> None:
    svg = drawn(catscale.load("yolov7-tiny").replace(name='<b> & "tiny" <i>'))
    assert svg.get("aria-label") == '<b> & "tiny" <i>'
    assert '<b> & "tiny" <i>' in {text.text for text in svg.iter(f"{SVG}text")}


@pytest.mark.parametrize(("fill", "_border"), COLOURS.values())
def test_text_can_be_read_on_every_fill(fill: str, _border: str) -> None:
    """WCAG 2.1, success criterion 1.4.6: a contrast of at least 7 to 1; of marked and faded text, 4.5 to 1 (1.4.3)."""
    assert contrast(INK, fill) >= 7
    assert contrast(layout.CHANGED, fill) >= 4.5
    assert contrast(layout.FADED, layout.PAPER) >= 4.5


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, by WCAG 2.1."""

    def luminance(colour: str) -> float:
        channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_texts_stay_inside_their_boxes() -> None:
    """Measured by another library in the widest font of the list; half a point for rounding."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = {weight: folder / f"DejaVuSans{name}.ttf" for weight, name in ((None, ""), ("bold", "-Bold"))}
    svg = drawn(catscale.load("yolov7-w6"), catscale.load("yolov7-e6e"))
    for group in svg.iter(f"{SVG}g"):
        outline = group.find(f"{SVG}path")
        if "node" not in (group.get("class") or "") or outline is None:
            continue
        sides = [x for x, _ in _numbers(outline.get("d"))]
        for text in group.iter(f"{SVG}text"):
            font = ImageFont.truetype(fonts[text.get("font-weight")], 100)
            width = font.getlength(text.text or "") * float(text.get("font-size", 0)) / 100
            left = float(text.get("x", 0))
            assert text.get("text-anchor") == "start"
            assert min(sides) - 0.5 <= left
            assert left + width <= max(sides) + 0.5


def test_a_comparison_marks_what_a_compound_scaling_changed_and_nothing_else() -> None:
    base = catscale.load("yolov7-w6")
    scaled = base.scale(compound=1.5)
    svg = drawn(base, scaled)
    marked = set(changed_texts(svg))
    wanted = set()
    for before, after in zip(base.nodes, scaled.nodes, strict=True):
        for name in ("width", "stem", "taps", "convs_per_tap", "groups", "kernel", "stride", "out"):
            old, new = (getattr(node.built, name, None) for node in (before, after))
            if old != new:
                wanted.add((before.name, f"{name} {old} → {new}"))
    followed = {"in", "concat", "ratio"}
    written = {(name, text) for name, text in marked if text.split()[0] not in followed and "join" not in name}
    assert written == wanted
    assert ("backbone.p3.elan", "taps 2 → 3") in marked
    assert ("backbone.p3.elan", "concat 512 → 640") in marked
    assert ("neck.p5.join", "in 384 + 384 → 480 + 480") in marked
    ratios = {name for name, text in marked if text.startswith("ratio")}
    assert ratios == {"stem.conv", *base.aux}  # 12 channels in never scale; W6's auxiliary convs are E6's as released
    same = {name for name, (classes, _) in boxes(svg).items() if "same" in classes}
    assert same == {"stem.reorg", *base.graph().lead, *base.graph().aux}


def test_between_equal_detectors_nothing_is_marked() -> None:
    """YOLOv7-E6 is YOLOv7-W6 scaled by 1.5, with other transitions (arXiv:2207.02696, section 5.1)."""
    scaled = catscale.load("yolov7-w6").scale(compound=1.5, transition="downc")
    svg = drawn(scaled, catscale.load("yolov7-e6"))
    assert list(changed_texts(svg)) == []
    assert all("same" in classes for classes, _ in boxes(svg).values())


def test_nodes_that_were_added_or_removed_say_so() -> None:
    forth, back = (drawn(*map(catscale.load, pair)) for pair in (("yolov7-tiny", "yolov7"), ("yolov7", "yolov7-tiny")))
    for svg, status in ((forth, "added"), (back, "removed")):
        found = {name for name, (classes, texts) in boxes(svg).items() if status in classes and status in texts}
        assert found == {"stem.conv3", "stem.conv4"}
    assert ("backbone.p2.elan", "from stem.conv2 → stem.conv4") in set(changed_texts(forth))


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_pictures_for_other_readers(suffix: str, magic: bytes) -> None:
    assert render(draw(catscale.load("yolov7-tiny")), suffix[1:]).startswith(magic)


def test_without_pygraphviz_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "find_spec", lambda name: None)
    with pytest.raises(
        catscale.InputError, match=r"pygraphviz, which is not installed: pip install 'catscale\[draw\]'"
    ):
        render(draw(catscale.load("yolov7-tiny")), "svg")


def test_the_command_prints_what_differs(cli: CommandLine, tmp_path: Path) -> None:
    done = cli("draw", "yolov7-w6", "--diff", "yolov7-e6", "-o", "x.svg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith(" backbone.p3.down"))
    assert "block strided_conv → downc, out 256 → 320" in row
    assert done.stderr == "44 boxes drawn in x.svg\n"
    assert "backbone.p3.down" in boxes(ElementTree.parse(tmp_path / "x.svg").getroot())


def test_differences_as_json(cli: CommandLine, tmp_path: Path) -> None:
    done = cli("draw", "yolov7-e6", "--diff", "yolov7-e6e", "-o", "x.svg", "--json", cwd=tmp_path)
    found = {each["name"]: each for each in json.loads(done.stdout)["differences"]}
    elans = {node.name for node in catscale.load("yolov7-e6").nodes if "elan" in node.name}
    assert found.keys() == elans | {
        "aux.p3",
        "aux.p4",
        "aux.p5",
    }  # these read one group, before the cardinality is merged
    assert found["neck.p4.elan1"]["changes"] == {"groups": [1, 2]}
    assert found["aux.p4"]["changes"] == {"from": ["neck.p4.elan1", "neck.p4.elan1.group2.out"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--node", "neck.p9.*", "-o", "x.svg"), "yolov7: no node matches 'neck.p9.*'; did you mean 'neck.p"),
        (("-o", "x.jpg"), "x.jpg: a drawing is a .svg, .png or .pdf file"),
        (("-o", "/proc/none/x.svg"), "/proc/none/x.svg: cannot be written"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(
    cli: CommandLine, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = cli("draw", "yolov7", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
