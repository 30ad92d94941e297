"""What a user may name as data: a data.yaml, COCO JSON, Pascal VOC, or the embedded `shapes`."""

from pathlib import Path

from ...blocks.errors import InputError
from .coco import annotation_files, read_coco, split_of
from .findings import Findings
from .records import Dataset
from .shapes import embedded_shapes
from .voc import ANNOTATIONS, is_voc, read_voc
from .yolo import read_yolo

YAML_NAMES = ("data.yaml", "data.yml")


def open_dataset(ref: str | Path) -> Dataset:
    """Read a data set: `read_dataset`, stopping at the first mistake.

    Raises:
        InputError: nothing like this is there, or something in it is wrong: one message, with the place.
    """
    return read_dataset(ref, Findings(collect=False))


def read_dataset(ref: str | Path, findings: Findings) -> Dataset:
    """Read a data set of any known form.

    Args:
        ref: a `data.yaml` (YOLO txt labels) or a folder with one; a COCO JSON file, which is one split, or a folder
            with `annotations/instances_{train,val,test}.json` (or these files themselves); a folder of Pascal VOC
            XML (see `read_voc`); or the word `shapes`, the embedded set, drawn below `runs/data` of the working folder
            when first asked for.
        findings: where mistakes in labels and images are reported.

    Raises:
        InputError: nothing can be read; or, unless `findings` collects them, anything in it is wrong.
    """
    source = str(ref)
    path = embedded_shapes() if source == "shapes" else Path(ref)
    if path.suffix.lower() in {".yaml", ".yml"} and path.is_file():
        return read_yolo(path, source, findings)
    if path.suffix.lower() == ".json" and path.is_file():
        return read_coco({split_of(path): path}, source, findings)
    if path.is_dir():
        described = next((path / name for name in YAML_NAMES if (path / name).is_file()), None)
        if described is not None:
            return read_yolo(described, source, findings)
        files = annotation_files(path)
        if files:
            return read_coco(files, source, findings)
        if is_voc(path):
            return read_voc(path, source, findings)
        inside = next((below for below in sorted(path.glob("*/")) if is_voc(below)), None)
        hint = f"; did you mean {inside}?" if inside else ""
        raise InputError(
            f"{path}: neither {YAML_NAMES[0]} nor annotations/instances_<split>.json is in this folder, "
            f"nor {ANNOTATIONS}/*.xml{hint}"
        )
    if path.is_file():
        raise InputError(
            f"{path}: not a data set; name a data.yaml, a COCO .json file, a folder with one or VOC's, or shapes"
        )
    raise InputError(
        f"{path}: there is no such file or folder; name a data.yaml, COCO JSON, a folder with one or VOC's, or shapes"
    )
