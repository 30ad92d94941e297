"""A study as its folder and its storage keep it: with what its names stood for, so that it stands alone. No torch.

A file that is moved is still the same study; a base, a recipe or a data set that is another one by now is not.
"""

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ..blocks.errors import InputError
from ..scaler.documents import dump_yaml, parse, read_text, read_yaml, write_text
from ..scaler.zoo import load
from ..trainer.data.records import Dataset
from ..trainer.recipe import Recipe, load_recipe
from .lock_file import read_lock
from .settings import flat
from .starting import keep_start, start_identity
from .study import FREE_TO_CHANGE, SHAPES, UNLIMITED, Contents, Study, label, load_study, started
from .study_data import data_identity

# 1 kept no contents, and was written under two orders of the scalings; 2 knew data by the sizes of label files, and a
# table of predictions by its path.
FORMAT = 3
BY_CONTENT = 3  # the first format that knows data and table by what is in them
NAMED = ("base", "references", "recipe", "epochs", "overrides", "data", "start", "contents")  # that the contents do
TABLE = "latency-table.json"  # a table of predictions, in a study's folder


def recipe_of(study: Study) -> Recipe:
    """How each candidate of a study is trained, as far as its space does not say.

    Raises:
        InputError: the recipe is not there, or a setting of it or of the study's overrides is wrong.
    """
    return load_recipe(study.recipe, {**study.overrides, **({"epochs": study.epochs} if study.epochs else {})})


def sealed(study: Study, dataset: Dataset | None = None) -> Study:
    """A study with its contents; `dataset` is its data, which is opened where None.

    Raises:
        InputError: a base or the recipe is not there, or the data cannot be read.
    """
    if study.contents is not None:
        return study
    references = {label(it): it for it in (*study.base, *study.compared.values())}
    return study.model_copy(
        update={
            "contents": Contents(
                format=FORMAT,
                order=tuple(study.space.parameters),
                bases={name: _identity(study, reference) for name, reference in references.items()},
                recipe=recipe_of(study).model_dump(mode="json"),
                data=data_identity(study.data, dataset),
                table=_table_identity(study.latency.predict),
                start=start_identity(study),
            )
        }
    )


def document(study: Study) -> dict[str, Any]:
    """A study as plain data, with its contents, for a storage."""
    return sealed(study).model_dump(mode="json", exclude_none=True)


def write_study(study: Study, path: Path) -> None:
    """Write `study.yaml`, and beside it what it names of the user's files but for the data: it needs no others.

    Raises:
        InputError: a base or the recipe is not there, or the folder cannot be written to.
    """
    plain = document(study)
    beside = path.parent

    def kept(reference: str, folder: str, text: str) -> str:
        write_text(beside / folder / f"{label(reference)}.yaml", text)
        return f"{folder}/{label(reference)}.yaml"

    def of_file(reference: str) -> bool:
        return reference.endswith((".yaml", ".yml"))

    bases = [kept(it, "bases", load(it).to_yaml()) if of_file(it) else it for it in study.base]
    plain["base"] = bases[0] if len(bases) == 1 else bases
    if not isinstance(study.references, bool):
        plain["references"] = [kept(it, "bases", load(it).to_yaml()) if of_file(it) else it for it in study.references]
    if of_file(study.recipe):
        plain["recipe"] = kept(study.recipe, "recipe", dump_yaml(load_recipe(study.recipe).model_dump(mode="json")))
    plain["data"] = relative(study.data, beside)
    if study.latency.predict is not None and Path(study.latency.predict).is_file():
        write_text(beside / TABLE, read_text(Path(study.latency.predict)))
        plain["latency"]["predict"] = TABLE
    if (start := keep_start(study, beside)) is not None:
        plain["start"] = start
    if study.trials == UNLIMITED:
        del plain["trials"]
    write_text(path, dump_yaml(plain))


def read_stored(path: Path) -> Study:
    """Read a study's `study.yaml`; files that it names are looked for beside it, and data where it was last, too.

    Raises:
        InputError: it is damaged, or was written by a newer version.
    """
    study: Study = parse(Study, read_yaml(path), str(path))
    _check_format(study, str(path))

    def found(reference: str) -> str:
        beside = path.parent / reference
        return str(beside.resolve()) if beside.exists() else reference

    def file(reference: str) -> str:
        return found(reference) if reference.endswith((".yaml", ".yml")) else reference

    references, predict = study.references, study.latency.predict
    data = study.data if study.data == SHAPES else found(study.data)
    if data != SHAPES and not Path(data).exists():
        data = read_lock(path.parent).get("data_path", data)
    return study.model_copy(
        update={
            "base": tuple(map(file, study.base)),
            "references": references if isinstance(references, bool) else tuple(map(file, references)),
            "recipe": file(study.recipe),
            "data": data,
            "start": started(study.start, path.parent),
            "latency": study.latency.model_copy(update={"predict": None if predict is None else found(predict)}),
        }
    )


def resolved(path: Path) -> tuple[Study, str]:
    """A study file with its defaults and its recipe written out; what it names is named as it does. No data is opened.

    Raises:
        InputError: it is not a study, or its recipe is not there.
    """
    study, named = load_study(path), parse(Study, read_yaml(path), str(path))
    plain = named.model_dump(mode="json", exclude_none=True)
    recipe = recipe_of(study).model_dump(mode="json")
    if study.trials == UNLIMITED:
        del plain["trials"]
    return study.model_copy(update={"data": named.data}), dump_yaml({**plain, "contents": {"recipe": recipe}})


def differences(before: Study, now: Study) -> list[str]:
    """What keeps the trials of two versions of a study from being compared, a line for each.

    Raises:
        InputError: a base or the recipe of a version without contents is not there; or the earlier one was written by
            a newer catscale.
    """
    _check_format(before, before.name)
    if before.contents is None:
        return _since_format_1(before, now)
    now = sealed(now)
    assert now.contents
    lines = []
    by_content = before.contents.format >= BY_CONTENT
    named = {**dict.fromkeys((*FREE_TO_CHANGE, *NAMED), True), **({"latency": {"predict"}} if by_content else {})}
    if (was := _order(before.contents, now)) != (is_ := _order(now.contents, before)):
        lines.append(
            f"the scalings applied in the order {', '.join(was)}, now {', '.join(is_)}: the same values would mean "
            "other detectors"
        )
    lines += _changes(*(flat(it.model_dump(mode="json", exclude=named)) for it in (before, now)))
    bases, current = before.contents.bases, now.contents.bases
    lines += [
        f"{'base' if name in (*before.bases, *now.bases) else 'references:'} {name} "
        f"{'is another detector now' if name in current else 'is not there any more'}"
        if name in bases
        else f"{'base' if name in now.bases else 'references:'} {name} was not there"
        for name in dict.fromkeys((*bases, *current))
        if bases.get(name) != current.get(name)
    ]  # fmt: skip
    if before.compared.keys() != now.compared.keys() and bases == current:
        lines.append(f"references was {before.references!r}, is {now.references!r}")
    lines += _changes(*(flat(it, "recipe.") for it in (before.contents.recipe, now.contents.recipe)))
    if by_content and before.contents.table != now.contents.table:
        lines.append(f"latency.predict was {before.latency.predict!r}, is {now.latency.predict!r}: another table")
    if by_content and before.contents.data != now.contents.data:
        lines.append(f"data was {before.data!r}, is {now.data!r}: other images or labels")
    elif not by_content and before.data != now.data:
        lines.append(f"data was {before.data!r}, is {now.data!r}")
    if before.contents.start != now.contents.start:
        was, is_ = (it.start.model_dump(exclude_none=True) if it.start else "random weights" for it in (before, now))
        lines.append(f"start was {was}, is {is_}: other weights to begin with")
    return lines


def _table_identity(reference: str | None) -> str:
    path = Path(reference or "")
    return blake2b(path.read_bytes(), digest_size=16).hexdigest() if path.is_file() else reference or ""


def _identity(study: Study, reference: str) -> str:
    try:
        base = load(reference)
    except InputError as error:
        raise InputError(f"{study.name}: base: {error}") from error
    return f"{base.fingerprint}@{study.size_px or base.size}"


def relative(data: str, folder: Path) -> str:
    """Data as seen from a study's folder where both lie in the working folder, which may be moved as a whole."""
    path, here = Path(data).resolve(), Path().resolve()
    together = path.is_relative_to(here) and folder.resolve().is_relative_to(here)
    return os.path.relpath(path, folder.resolve()) if data != SHAPES and path.exists() and together else data


def _check_format(study: Study, where: str) -> None:
    if study.contents is not None and study.contents.format > FORMAT:
        raise InputError(
            f"{where}: written in format {study.contents.format} by a newer catscale; this one knows up to {FORMAT}"
        )


def _since_format_1(before: Study, now: Study) -> list[str]:
    old, new = (flat(it.model_dump(mode="json", exclude={*FREE_TO_CHANGE, "contents"})) for it in (before, now))
    lines = _changes(old, new)
    if len(now.space.of_detector) > 1:
        order = ", ".join(now.space.of_detector)
        lines.append(
            "it was begun by an earlier catscale, which did not note in which order it applied the scalings (width was "
            f"first once); now {order}: the same values might mean other detectors"
        )
    return lines


def _order(contents: Contents, other: Study) -> list[str]:
    """The parameters that the other one has too, in the order of these contents."""
    return [name for name in contents.order if name in other.space.parameters]


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} was {_word(old, key)}, is {_word(new, key)}"
        for key in dict.fromkeys((*old, *new))
        if _asked(old.get(key)) != _asked(new.get(key))
    ]


def _asked(value: Any) -> Any:
    """What is not asked for need not be there: false is as good as nothing."""
    return None if value is False else value


def _word(document: Mapping[str, Any], key: str) -> str:
    return "not there" if document.get(key) is None else repr(document[key])
