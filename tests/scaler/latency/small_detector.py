"""A detector that is exported in a second, for tests that go through ONNX."""

from pathlib import Path

YAML = """\
name: small
size: 64
classes: 3
anchors: [[10, 13, 16, 30], [30, 61, 62, 45]]
nodes:
  stem: {reorg: {}}
  p2: {conv: {out: 8, kernel: 3, stride: 2}}
  p3: {rep_conv: {out: 8, stride: 2}}
  p4: {conv: {out: 8, kernel: 3, stride: 2}}
  top: {top_down: {out: 8}, from: [p4, p3]}
heads: [top, p4]
"""


def small_detector(folder: Path) -> Path:
    """Its architecture file."""
    file = folder / "small.yaml"
    file.write_text(YAML)
    return file
