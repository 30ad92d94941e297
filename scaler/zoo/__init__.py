"""The zoo: published detectors. Bases are written out; derived ones are recipes, and all their widths follow."""

from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

from ...blocks.errors import InputError, nearest
from ..architecture import Architecture
from ..architecture_file import read_architecture


@cache
def names() -> tuple[str, ...]:
    """Every architecture of the zoo, by name."""
    return tuple(
        sorted(entry.name.removesuffix(".yaml") for entry in files(__name__).iterdir() if entry.name.endswith(".yaml"))
    )


def load(reference: str | Path) -> Architecture:
    """An architecture by its name in the zoo, or from an architecture file.

    Raises:
        InputError: there is no such name or file, or the file is not an architecture.
    """
    return _load(str(reference), Path(), ())


def _load(reference: str, folder: Path, asked: tuple[str, ...]) -> Architecture:
    if reference in names():
        return _from_zoo(reference)
    path = folder / reference
    if not path.is_file():
        if path.suffix in (".yaml", ".yml"):
            raise InputError(f"{path}: there is no such file")
        raise InputError(f"no architecture is called {reference!r}; {nearest(reference, names())}, or name a YAML file")
    key = str(path.resolve())
    if key in asked:
        raise InputError(f"{path}: is its own base, by way of {' -> '.join([*asked, key])}")

    def base(name: str, recipe: Path) -> Architecture:
        return _load(name, recipe.parent, (*asked, key))

    return read_architecture(path, base)


@cache
def _from_zoo(name: str) -> Architecture:
    with as_file(files(__name__) / f"{name}.yaml") as path:
        return read_architecture(path, lambda base, _: _from_zoo(base))
