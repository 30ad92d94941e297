"""`study.lock.json`: what the figures of a study depend on beyond its file, and what of that has changed since.

Code, packages, device, driver and data, as they were when the study began. A session with others goes on, and says so.
On which machine, when and by which command each session ran is in `hardware.json`.
"""

import json
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from ..blocks.errors import InputError
from ..scaler.documents import read_text, write_text
from ..trainer.data.records import Dataset
from .study_data import split_hash

LOCK = "study.lock.json"
ROOT = Path(__file__).parents[1]  # of the package, and of its checkout where it is one


def conditions(dataset: Dataset, device: str) -> dict[str, Any]:
    """What the figures of a study depend on, as plain data; `dataset` has all its splits."""
    import torch

    from ..scaler.devices import device_name
    from ..scaler.latency.conditions import nvidia_driver

    place = torch.device(device)
    return {
        "catscale": _version("catscale") or "unknown",
        "commit": checkout_commit(ROOT),
        "python": platform.python_version(),
        "packages": packages(),
        "device": device_name(place),
        "driver": nvidia_driver() if place.type == "cuda" else None,
        "cuda": torch.version.cuda if place.type == "cuda" else None,
        "data": {
            name: {
                "images": len(split.images),
                "objects": sum(len(image.boxes) for image in split.images),
                "hash": split_hash(split),
            }
            for name, split in dataset.splits.items()
        },
    }


def write_lock(folder: Path, now: Mapping[str, Any], data: str) -> list[str]:
    """Write the lock of a study that begins; of one that goes on, add what differs from its beginning.

    Args:
        folder: of the study.
        now: as `conditions` gives it.
        data: where the data is, which finds it again when the folder has been copied elsewhere.

    Returns:
        What differs, a line each.

    Raises:
        InputError: the lock is damaged, or cannot be written.
    """
    path = folder / LOCK
    started = datetime.now(UTC).isoformat(timespec="seconds")
    place = str(Path(data).resolve()) if Path(data).exists() else data
    if not path.is_file():
        _write(path, {"began": started, **now, "data_path": place, "since": []})
        return []
    lock = read_lock(folder)
    changed = {name: [was, is_] for name, was, is_ in _differences(lock, now)}
    since = lock["since"]
    if changed and (not since or since[-1]["changed"] != changed):
        since.append({"started": started, "changed": changed})
    _write(path, {**lock, "data_path": place, "since": since})
    return [
        f"began with {name} {_word(was)}, now {_word(is_)}: figures may differ" for name, (was, is_) in changed.items()
    ]


def read_lock(folder: Path) -> dict[str, Any]:
    """A study's lock; empty where it has none, as one of an earlier version.

    Raises:
        InputError: it is damaged.
    """
    path = folder / LOCK
    if not path.is_file():
        return {}
    try:
        lock = json.loads(read_text(path))
        if not isinstance(lock["since"], list) or not isinstance(lock["data_path"], str):
            raise TypeError("since is no list, or data_path no text")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is not what catscale search run writes: {error}; put it back, or remove it"
        ) from error
    return lock


def lock_lines(folder: Path) -> list[str]:
    """For a person: what a study began with, and what has been other since; none where it has no lock.

    Raises:
        InputError: as for `read_lock`.
    """
    lock = read_lock(folder)
    if not lock:
        return []
    names = ("catscale", "commit", "python", "driver", "cuda")
    began = [f"{name} {lock[name]}" for name in names if lock.get(name)]
    began += [f"{package} {its}" for package, its in lock.get("packages", {}).items()]
    return [
        f"Began with {', '.join(began)}",
        *(
            f"{later['started']}: {name} {_word(was)}, now {_word(is_)}"
            for later in lock["since"]
            for name, (was, is_) in later["changed"].items()
        ),
    ]


def packages() -> dict[str, str]:
    """The installed version of everything that catscale needs or can use, by the name of its package."""
    try:
        needed = requires("catscale") or []
    except PackageNotFoundError:  # a checkout that was never installed
        needed = ["torch", "torchvision", "optuna", "numpy", "opencv-python-headless", "pycocotools"]
    names = (re.match(r"[\w.-]+", line) for line in needed if 'extra == "dev"' not in line)
    found = {name: _version(name) for name in (match.group() for match in names if match)}
    return {name: its for name, its in found.items() if its}


def checkout_commit(root: Path) -> str | None:
    """The commit of a git checkout, with a word where its files have changed since; None where it is none."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != root.resolve():
            return None  # installed somewhere inside of another project's checkout
        changed = " (changed)" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "HEAD") + changed
    except (OSError, subprocess.SubprocessError):
        return None


def _differences(lock: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Name, before and now, of what is not the same; of several at a place each by itself."""
    for name, is_ in now.items():
        was = lock.get(name)
        if isinstance(is_, Mapping) and isinstance(was, Mapping):
            both = dict.fromkeys((*was, *is_))
            yield from ((_place(name, key), was.get(key), is_.get(key)) for key in both if was.get(key) != is_.get(key))
        elif was != is_:
            yield name, was, is_


def _place(name: str, key: str) -> str:
    return key if name == "packages" else f"{name} {key}"


def _word(value: Any) -> str:
    match value:
        case None:
            return "not there"
        case {"images": images, "objects": objects}:
            return f"{images} images and {objects} objects"
        case _:
            return str(value)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _write(path: Path, lock: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(lock, indent=2) + "\n")
