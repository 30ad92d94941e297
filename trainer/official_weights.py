"""Official checkpoints as run folders of ours, and back: what `catscale weights` does."""

from dataclasses import replace
from pathlib import Path

import torch

from ..blocks.errors import InputError
from ..scaler.architecture import Architecture
from ..scaler.aux_heads import without_aux
from ..scaler.build import build, deploy
from ..scaler.documents import write_text, written
from ..scaler.official.beside import disagreements, own_anchors
from ..scaler.official.checkpoints import from_official, to_official
from ..scaler.official.exporting import form_named
from ..scaler.official.importing import import_document
from ..scaler.official.keys import unwrapped
from ..scaler.official.layouts import classes_in, layout_of
from ..scaler.official.recognising import models_like
from ..scaler.official.text import official_yaml
from ..scaler.official.unpickling import Checkpoint, read_checkpoint
from ..scaler.zoo import load
from .checkpoint import WeightsHeader, save_weights
from .data.sources import open_dataset
from .recipe import load_recipe
from .run_folder import RunFacts, RunFolder, Which, load_run, versions


def import_weights(
    source: Path, folder: Path, arch: str | None = None, data: str | None = None
) -> tuple[Architecture, tuple[str, ...]]:
    """Make a run folder of an official checkpoint; gives its architecture, and what should be known of it.

    Args:
        source: a pickled model or a plain state dict, unfused or fused.
        folder: new or empty.
        arch: a zoo name or a file; the checkpoint's own model file where None.
        data: a data set that names the classes; the names in the checkpoint where None.

    Raises:
        InputError: the checkpoint cannot be read or is another architecture's, or the folder is taken.
    """
    run = RunFolder(folder)
    run.refuse_if_taken()
    checkpoint = read_checkpoint(source)
    checkpoint = replace(checkpoint, tensors=unwrapped(checkpoint.tensors))
    architecture, state, notes = _weights(checkpoint, source, arch)
    dataset = None if data is None else open_dataset(data)
    names = checkpoint.names if dataset is None else dataset.classes
    if names is None or len(names) != architecture.classes:
        if dataset is not None:
            raise InputError(f"{data}: has {len(dataset.classes)} classes, {source} {architecture.classes}")
        names = tuple(f"class{index}" for index in range(architecture.classes))
        notes = (*notes, f"{source} does not name its {architecture.classes} classes; --data names them")
    model = build(architecture)
    model.load_state_dict(state)
    facts = RunFacts(
        architecture=architecture.name,
        fingerprint=architecture.fingerprint,
        classes=names,
        category_ids=tuple(range(1, len(names) + 1)) if dataset is None else dataset.category_ids,
        data="" if data is None else data,
        size_px=architecture.size,
        seed=0,
        device="cpu",
        versions=versions(),
        status="complete",
        reason=f"weights of {source.name}",
    )
    header = WeightsHeader(
        architecture.name, facts.fingerprint, facts.size_px, names, facts.category_ids, epoch=0, ap=0.0, ap50=0.0
    )
    run.write_settings(architecture, load_recipe("p6" if len(architecture.strides) > 3 else "p5"))
    save_weights(run.weights("best"), model, header)
    save_weights(run.weights("last"), model, header)
    run.write_facts(facts)
    return architecture, notes


def _weights(
    checkpoint: Checkpoint, source: Path, arch: str | None
) -> tuple[Architecture, dict[str, torch.Tensor], tuple[str, ...]]:
    """Architecture, state dict, and what the checkpoint says otherwise."""
    where = str(source)
    imported, notes = None, ()
    if checkpoint.config is not None:
        imported = import_document(checkpoint.config, f"{where}: its model file", source.stem)
    if arch is not None:
        architecture, notes = _with_heads_of(checkpoint, load(arch), where)
        if imported is not None and imported.architecture.strides != architecture.strides:
            raise InputError(f"{where}: has levels at strides {imported.architecture.strides}, not as {arch} has them")
    elif imported is not None:
        architecture = imported.architecture
    else:
        alike = " or ".join(f"--arch {each.name}" for each in models_like(checkpoint.tensors))
        mend = f"it seems to be {alike}" if alike else "name it with --arch"
        raise InputError(f"{where}: a plain state dict does not say its architecture; {mend}")
    if anchors := own_anchors(checkpoint, architecture, where):
        architecture = architecture.replace(anchors=anchors)
        notes = (*notes, "it has anchors of its own, and so has the run folder's architecture")
    slots = imported.slots if imported is not None and arch is None else None
    state = from_official(checkpoint.tensors, architecture, slots, where)
    return architecture, state, (*notes, *disagreements(checkpoint, architecture))


def _with_heads_of(
    checkpoint: Checkpoint, architecture: Architecture, where: str
) -> tuple[Architecture, tuple[str, ...]]:
    """The architecture with the checkpoint's number of classes, and with no more heads than a deployed model has."""
    notes: list[str] = []
    if architecture.aux and not any(".m2." in key for key in checkpoint.tensors):
        architecture = without_aux(architecture)
        notes.append("it has no auxiliary heads, and the run folder's architecture has none")
    if architecture.implicit and not any(key.endswith(".implicit") for key in checkpoint.tensors):
        architecture = architecture.replace(implicit=False)
        notes.append("it has no implicit vectors, and the run folder's architecture has none")
    layout = layout_of(checkpoint.tensors, architecture, where)
    classes = classes_in(checkpoint.tensors, layout.slots, architecture) or architecture.classes
    if classes != architecture.classes:
        architecture = architecture.replace(classes=classes)
        notes.append(f"it is for {classes} classes, and so is the run folder's architecture")
    return architecture, (*notes, *layout.notes)


def export_weights(folder: Path, output: Path, form: str = "train", which: Which = "best") -> Path:
    """Write a run's weights as an official state dict, and its model file beside it, whose path is given.

    Raises:
        InputError: not a run folder, or its architecture has no official form.
    """
    known = form_named(form)
    run = load_run(folder, which)
    text = official_yaml(run.arch, known)
    tensors = to_official(run.model if known == "train" else deploy(run.model))
    with written(output) as beside:
        torch.save(tensors, beside)
    model_file = output.with_suffix(".yaml")
    write_text(model_file, text)
    return model_file
