"""What labels are like, in numbers that can be counted by hand, and as a picture."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from xml.etree import ElementTree

import numpy as np
import pytest
from catscale.blocks.errors import InputError
from catscale.scaler.figure_style import house_style
from catscale.trainer.data.check import check_dataset, write_report
from catscale.trainer.data.records import Dataset, ImageRecord, Split
from catscale.trainer.data.stats import SHARES, measure
from catscale.trainer.data.stats_figure import draw_stats, stats_figure
from PIL import Image

CommandLine = Callable[..., "CompletedProcess[str]"]


def record(width: int, height: int, boxes: list[list[float]], labels: list[int], crowds: int = 0) -> ImageRecord:
    array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    crowd = np.arange(len(boxes)) < crowds
    area = (array[:, 2:] - array[:, :2]).prod(axis=1)
    return ImageRecord(Path("a"), width, height, 1, array, np.array(labels, dtype=np.int64), crowd, area)


def dataset(classes: tuple[str, ...] = ("cat", "dog", "$5 note")) -> Dataset:
    train = (
        record(100, 50, [[0, 0, 100, 50], [10, 10, 30, 20], [40, 30, 60, 50]], [0, 1, 1], crowds=1),
        record(200, 100, [[0, 0, 200, 100]], [1]),
        record(20, 20, [], []),
    )
    val = (record(10, 10, [[0, 0, 10, 10]], [0]),)
    return Dataset(classes, (1, 2, 3), {"train": Split("train", train), "val": Split("val", val)}, "made")


def test_boxes_are_counted_and_measured_without_crowds() -> None:
    stats = measure(dataset(), "train")
    assert (stats.images, stats.background, stats.boxes) == (3, 1, 3)
    assert stats.per_class == {"cat": 0, "dog": 3, "$5 note": 0}
    np.testing.assert_allclose(stats.sizes_px, [[20, 10], [20, 20], [200, 100]])
    np.testing.assert_allclose(stats.sizes, [[0.2, 0.2], [0.2, 0.4], [1, 1]])
    np.testing.assert_allclose(stats.centres, [[0.2, 0.3], [0.5, 0.8], [0.5, 0.5]])
    assert stats.per_image.tolist() == [2, 1, 0]
    middle = {name: values[SHARES.index(0.5)] for name, values in stats.quantiles().items()}
    assert (middle["width px"], middle["width / height"], middle["boxes in an image"]) == (20, 2, 1)
    assert measure(dataset()).per_class == {"cat": 1, "dog": 3, "$5 note": 0}
    with pytest.raises(InputError, match=r"no split 'tset' in this data set; did you mean"):
        measure(Dataset(("a",), (1,), {"test": Split("test", dataset().split("val").images)}, "made"), "tset")


def test_the_picture_shows_each_box_once_and_every_class(tmp_path: Path) -> None:
    with house_style():
        classes, sizes, places, crowding, *_ = stats_figure(measure(dataset())).axes
        assert [text.get_text() for text in classes.get_yticklabels()] == [r"\$5 note", "cat", "dog"]
        assert [int(bar.get_width()) for bar in classes.patches] == [0, 1, 3]  # type: ignore[attr-defined]
        for axes in (sizes, places):
            assert axes.images[0].get_array().sum() == 4  # type: ignore[union-attr]
        assert sum(bar.get_height() for bar in crowding.patches) == 4  # type: ignore[attr-defined]
    for name in ("a.svg", "b.svg"):
        draw_stats(measure(dataset()), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "$5 note" in ElementTree.parse(tmp_path / "a.svg").getroot().itertext()


def test_a_set_of_many_classes_or_of_none_is_drawn(tmp_path: Path) -> None:
    many = tuple(f"class {number}" for number in range(300))
    with house_style():
        names = [text.get_text() for text in stats_figure(measure(dataset(many))).axes[0].get_yticklabels()]
    assert len(names) == 41
    assert names[0] == "260 more"
    empty = Dataset(("cat",), (1,), {"train": Split("train", (record(10, 10, [], []),))}, "made")
    draw_stats(measure(empty), tmp_path / "a.png")
    assert list(measure(empty).quantiles()) == ["boxes in an image"]


def test_the_verb_prints_and_draws(tmp_path: Path, cli: CommandLine) -> None:
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    Image.new("RGB", (80, 40)).save(tmp_path / "images" / "a.png")
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat]\n")
    done = cli("data", "stats", tmp_path, "-o", tmp_path / "labels.png", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["boxes"], said["per_class"], said["quantiles"]["width px"]) == (1, {"cat": 1}, [40.0] * 7)
    with Image.open(tmp_path / "labels.png") as image:
        assert image.width > 1000
    for report, write in (("labels.jpg", lambda file: draw_stats(measure(dataset()), file)),
                          ("report.pdf", lambda file: write_report(check_dataset(tmp_path), file))):  # fmt: skip
        with pytest.raises(InputError, match=rf"{report}: .* let its name end in"):
            write(tmp_path / report)
