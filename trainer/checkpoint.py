"""Weights and training state on disk: safetensors with a readable header, and a state that loads as plain data."""

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..blocks.errors import InputError
from ..scaler.documents import parse, written

HEADER = "catscale"


@dataclass(frozen=True)
class WeightsHeader:
    """What a weights file says of itself."""

    architecture: str
    fingerprint: str
    size_px: int
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    epoch: int  # counted from 1
    ap: float
    ap50: float


def save_weights(path: Path, model: nn.Module, header: WeightsHeader) -> None:
    """Write the weights of a train graph, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with written(path) as beside:
        try:
            save_file(tensors, beside, metadata={HEADER: json.dumps(asdict(header))})
        except SafetensorError as error:  # a full disk, in the library's own words
            raise OSError(str(error).removeprefix("Error while serializing: ")) from error


def read_header(path: Path) -> WeightsHeader:
    """What a weights file says of itself; no weights are read.

    Raises:
        InputError: no such file, or not one of ours.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER)
        document = json.loads(text) if text else None
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a weights file: {error}") from error
    if document is None:
        raise InputError(f"{path}: not a weights file that a training wrote: its header says nothing of a model")
    return parse(WeightsHeader, document, str(path))


def load_weights(path: Path, model: nn.Module) -> None:
    """Put the weights of a file into a train graph.

    Raises:
        InputError: the file cannot be read, or its weights are another model's.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a weights file: {error}") from error
    put_weights(tensors, model, path)


def put_weights(tensors: Mapping[str, Tensor], model: nn.Module, where: Path) -> None:
    """Put named tensors into a model that has exactly these.

    Raises:
        InputError: a name or a shape differs; the first is named.
    """
    own = model.state_dict()
    if any(_is_norm(name) for name in own) and not any(map(_is_norm, tensors)):
        raise InputError(
            f"{where}: weights of a deploy model, whose batch norms are folded into its convolutions: they cannot be "
            "trained on; take the weights that the training wrote"
        )
    for name in sorted(own.keys() ^ tensors.keys()):
        raise InputError(
            f"{where}: weights of another architecture: {name} is {'missing' if name in own else 'unknown'}"
        )
    for name, value in tensors.items():
        if value.shape != own[name].shape:
            shapes = f"{tuple(value.shape)} instead of {tuple(own[name].shape)}"
            raise InputError(f"{where}: weights of another architecture: {name} is {shapes}")
    model.load_state_dict(dict(tensors))


def _is_norm(name: str) -> bool:
    return name.endswith("norm.running_var")


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training's state (tensors, numbers, strings, and dicts and lists of them), whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with written(path) as beside, beside.open("wb") as file:  # given a path, torch says of a full disk "unexpected pos"
        try:
            torch.save(dict(state), file)
        except RuntimeError as error:  # so it does where it cannot end a file either
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from error


def load_state(path: Path) -> dict[str, Any]:
    """Read a training's state as plain data: nothing in it is executed.

    Raises:
        InputError: the file cannot be read, or holds more than plain data.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: not a training state: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict):
        raise InputError(f"{path}: not a training state: it holds a {type(state).__name__}")
    return state
