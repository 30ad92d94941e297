"""Images that two splits share: what is measured on them says nothing of new images."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import combinations
from pathlib import Path

from .records import Dataset

SAMPLE_BYTES = 4096
SHOWN = 3  # file names in a warning

_Image = tuple[str, Path]  # split, resolved path


def shared_images(dataset: Dataset) -> list[list[tuple[str, Path]]]:
    """Groups of files with the same content that lie in more than one split, each as (split, path) by split.

    Files are compared by size, then by 4 KiB from their middle, and read whole only where both are equal, so that a
    data set without shared images is hardly read.
    """
    images = [
        (split.name, path)
        for split in dataset.splits.values()
        for path in dict.fromkeys(record.path.resolve() for record in split.images)
    ]
    groups = [images]
    keys: tuple[Callable[[Path], Hashable], ...] = (_size, _middle, _digest)
    for key in keys:
        groups = [finer for group in groups for finer in _split(group, key)]
    return groups


def leak_warnings(dataset: Dataset) -> Iterator[str]:
    """A line for each pair of splits that share images: how many of the later one, and the first of these."""
    shared: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for group in shared_images(dataset):
        of_split: defaultdict[str, list[Path]] = defaultdict(list)
        for split, path in group:
            of_split[split].append(path)
        for (one, here), (other, there) in combinations(of_split.items(), 2):
            names = {path.name for path in here}
            shared[one, other] += [
                path.name if path.name in names else f"{here[0].name} = {path.name}" for path in there
            ]
    for (one, other), names in shared.items():
        more = ", ..." if len(names) > SHOWN else ""
        count = f"{len(names)} image{'s' * (len(names) > 1)}"
        yield (
            f"{dataset.source}: {one} and {other} share {count} ({', '.join(names[:SHOWN])}{more}); "
            f"the AP on {other} is too high with them: remove them from one"
        )


def _split(group: Iterable[_Image], key: Callable[[Path], Hashable]) -> Iterator[list[_Image]]:
    """The parts of a group that are equal by `key` and still in more than one split."""
    parts: defaultdict[Hashable, list[_Image]] = defaultdict(list)
    for split, path in group:
        parts[key(path)].append((split, path))
    return (part for part in parts.values() if len({split for split, _ in part}) > 1)


def _size(path: Path) -> Hashable:
    return path.stat().st_size if path.is_file() else path  # a file that is gone equals none; readers say so


def _middle(path: Path) -> Hashable:
    with path.open("rb") as file:
        file.seek(path.stat().st_size // 2)
        return file.read(SAMPLE_BYTES)


def _digest(path: Path) -> Hashable:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
