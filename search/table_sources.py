"""Where tables of finished results come from: studies of our own with their curves, and YOLOBench."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from ..blocks.errors import InputError
from ..scaler.documents import read_text
from ..trainer.run_folder import RunFolder
from .quantities import QUANTITIES
from .replay_table import SECONDS, Line, value_of
from .rows import comparable, parameter_columns
from .status import StudyRecord

# Depth and width that a size letter stands for. Source: YOLOv5 as released; YOLOBench's names, arXiv:2307.13901.
LETTERS = {"n": (0.33, 0.25), "s": (0.33, 0.5), "m": (0.67, 0.75), "l": (1.0, 1.0)}
FACTORS = {"1": 1.0, "6": 0.6, "33": 0.33, "67": 0.67, "25": 0.25, "5": 0.5, "75": 0.75}  # d67w25: 0.67 and 0.25
NAME = re.compile(r"yolo(?P<family>\d(?:[a-z]-)?)(?:d(?P<depth>\d+)w(?P<width>\d+)|(?P<letter>[nsml]))_(?P<size>\d+)")
MERGED = "merged_results.csv"


def study_lines(records: Sequence[StudyRecord]) -> tuple[list[str], list[Line]]:
    """The parameters of studies, and a line for each epoch of each of their trials that was trained to its end.

    Raises:
        InputError: the studies have other parameters, or the same seed twice; a trial's epochs are not there.
    """
    first = records[0]
    parameters = parameter_columns(first.study)
    seeds = [record.study.seed for record in records]
    lines = []
    for record in records:
        if parameter_columns(record.study) != parameters:
            raise InputError(f"{record.folder}: its space has other parameters than that of {first.folder}")
        if seeds.count(record.study.seed) > 1:
            raise InputError(
                f"{record.folder}: its seed {record.study.seed} is another study's too; a table needs others"
            )
        for row in comparable(record.rows):
            if row.reference:
                continue
            known = {name: row.figures[name] for name in QUANTITIES if name in row.figures}
            values = tuple(value_of(str(row.values[name])) for name in parameters)
            epochs = RunFolder(record.run_folder(row)).read_metrics()
            if not epochs:
                raise InputError(f"{record.run_folder(row)}: has no results.csv; a table needs each trial's epochs")
            for epoch in epochs:
                figures = {**known, "ap": epoch.ap, "ap50": epoch.ap50, SECONDS: epoch.seconds}
                lines.append(Line(values, record.study.seed, epoch.epoch, figures))
    return parameters, lines


def yolobench_lines(folder: Path) -> tuple[list[str], list[Line]]:
    """YOLOBench's variants: family, depth, width and size; AP on four data sets, latency on eight devices.

    Source: Deeplite's YOLOBench, arXiv:2307.13901, `merged_results.csv`; its latencies are in ms.

    Raises:
        InputError: the file is not there, or a name in it is not a variant's.
    """
    path = folder / MERGED
    lines = []
    for number, cells in enumerate(csv.DictReader(io.StringIO(read_text(path))), start=2):
        found = NAME.fullmatch(cells.get("model_name") or "")
        if not found:
            raise InputError(f"{path}:{number}: {cells.get('model_name')!r} is not a name such as yolo5d67w25_320")
        family = f"v{found['family'].rstrip('-')}"
        if found["letter"]:
            depth, width = LETTERS[found["letter"]]
            depth = 1.0 if family == "v7" else depth  # which are scaled in width alone
        else:
            depth, width = FACTORS[found["depth"]], FACTORS[found["width"]]
        figures = {}
        for column, text in cells.items():
            if column.startswith("mAP_0.5:0.95_"):
                figures[f"ap_{column.removeprefix('mAP_0.5:0.95_')}"] = float(text)
            elif column.endswith("_latency"):
                figures[f"latency_ms_{column.removesuffix('_latency')}"] = float(text)
        lines.append(Line((family, depth, width, int(found["size"])), 0, 1, figures))
    return ["family", "depth", "width", "resolution"], lines
