"""Architecture files: a mistake is named with its place and a way to mend it."""

from pathlib import Path

import catscale
import pytest

GOOD = """
size: 64
anchors: [[10, 13, 16, 30]]
nodes:
  stem: {conv: {out: 16, kernel: 3, stride: 2}}
  elan: {elan: {width: 8, taps: 2, convs_per_tap: 1, out: 16}}
  head: {conv: {out: 16, kernel: 3}}
heads: [head]
"""


def with_change(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


MISTAKES = [
    (with_change("out: 16, kernel: 3, stride: 2", "out: 0"), r"nodes\.stem\.conv: out: .*equal to 1, not 0"),
    (with_change("width: 8", "widht: 8"), r"nodes\.elan\.elan: unknown key 'widht'; did you mean 'width'\?"),
    (with_change("width: 8", "width: 8.5"), r"nodes\.elan\.elan: width: .*integer, not 8\.5"),
    (with_change("width: 8, ", ""), r"nodes\.elan\.elan: 'width' is missing"),
    (with_change("elan: {elan:", "elan: {elann:"), r"nodes\.elan: unknown block 'elann'; did you mean 'elan'\?"),
    (with_change("{conv: {out: 16, kernel: 3}}", "{from: elan}"), r"nodes\.head: name one block"),
    (with_change("kernel: 3}}", "kernel: 3}, from: elann}"), r"'elann', which does not exist; did you mean 'elan'"),
    (with_change("out: 16}}", "out: 16}, from: head}"), r"node elan: reads itself in a circle: elan -> head -> elan"),
    (with_change("out: 16}}", "out: 16}, from: elan}"), r"node elan: reads itself in a circle: elan -> elan"),
    (with_change("kernel: 3}}", "kernel: 3}, from: [stem, elan]}"), r"node head: takes one input, not 2: stem, elan"),
    (with_change("{conv: {out: 16, kernel: 3}}\n", "{join: {}, from: [stem, image]}\n"), r"sizes: 16x2048x2048, 3x"),
    (with_change("heads: [head]", "heads: [haed]"), r"heads: no node is called 'haed'; did you mean 'head'\?"),
    (with_change("heads: [head]", "heads: []"), r"heads: name the nodes"),
    (with_change("heads: [head]", "heads: [head, elan]"), r"anchors: 1 levels of anchors for 2 heads"),
    (with_change("[[10, 13, 16, 30]]", "[[10, 13, 16]]"), r"anchors: 3 numbers in a level; anchors are pairs"),
    (with_change("[[10, 13, 16, 30]]", "[[10, -13]]"), r"anchors\.0\.1: .*greater than 0, not -13"),
    (with_change("size: 64", "size: 63"), r"size 63 is not a multiple of the largest stride, 2; use 6[24]"),
    (with_change("size: 64", "size: 64\nclasses: 0"), r"classes: 0 classes; a detector needs at least one"),
    (with_change("size: 64", "size: 64\nsize: 128"), r":3:1: not valid YAML: 'size' stands twice"),
    (with_change("size: 64", "szie: 64"), r"unknown key 'szie'; did you mean 'size'\?"),
    (with_change("  stem:", "  Stem!:"), r"node 'Stem!': a name is words"),
    (with_change("  stem:", "  detect.stem:"), r"node detect\.stem: names that begin with image or detect are taken"),
    (with_change("  elan:", "  stem.elan:"), r"node stem\.elan: stands inside node stem, whose layers have such names"),
    ("- a\n- b\n", r"expected `key: value` lines, found a list"),
    ("", r"expected `key: value` lines, found nothing"),
    ("a: [1", r":1:6: not valid YAML"),
    ("base: yolov7-w7\nscale: {}\n", r"no architecture is called 'yolov7-w7'; did you mean 'yolov7-w6'\?"),
    ("base: yolov7\nscale: {compund: 2}\n", r"no scaling is called 'compund'; did you mean 'compound'\?"),
    ("base: yolov7\nscale: {compound: 1.3}\n", r"backbone\.p2\.elan: depth 1\.3 turns 2 taps into 2\.6"),
    ("base: yolov7\nsize: 640\nscale: {}\n", r"unknown key 'size'"),
    ("base: bad.yaml\nscale: {}\n", r"bad\.yaml: is its own base"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_a_mistake_is_named_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(catscale.InputError, match=message) as error:
        catscale.load(path)
    assert "bad.yaml" in str(error.value) or "yolov7-w7" in str(error.value)


def test_the_file_that_the_mistakes_are_made_in_is_good(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD, encoding="utf-8")
    architecture = catscale.load(path)
    assert (architecture.name, architecture.size, architecture.strides) == ("good", 64, (2,))


def test_nothing_in_a_file_is_evaluated(tmp_path: Path) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text("!!python/object/apply:os.system ['touch evaluated']\n", encoding="utf-8")
    with pytest.raises(catscale.InputError, match="not valid YAML"):
        catscale.load(path)
    assert not (Path.cwd() / "evaluated").exists()


def test_a_missing_file_and_an_unknown_name_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(catscale.InputError, match=r"there is no such file"):
        catscale.load(tmp_path / "none.yaml")
    with pytest.raises(catscale.InputError, match=r"did you mean 'yolov7-tiny'\?, or name a YAML file"):
        catscale.load("yolov7-tyni")
