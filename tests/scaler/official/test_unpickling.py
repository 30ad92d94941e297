"""Pickled models are read as plain data: what a released file holds comes out, and nothing in a hostile one runs."""

import io
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import catscale
import numpy as np
import pytest
import torch
import yaml
from catscale.blocks.errors import InputError
from catscale.scaler.official.checkpoints import from_official, to_official
from catscale.scaler.official.text import official_yaml
from catscale.scaler.official.unpickling import read_checkpoint
from catscale.trainer.official_weights import import_weights
from catscale.trainer.run_folder import load_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from .pickled import TRAP, pickled_model


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not TRAP.exists()


@pytest.mark.parametrize("kept_as", ["model", "ema"])
def test_a_pickled_model_gives_its_tensors_config_and_names(kept_as: str, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = catscale.load("yolov7-tiny").scale(width=0.125, divisor=16).replace(classes=3, name="small")
    ours, document = catscale.build(architecture), yaml.safe_load(official_yaml(architecture))
    with monkeypatch.context() as patch:
        model = pickled_model(document, architecture.strides, to_official(ours), patch, nn.LeakyReLU)
        content = {"epoch": -1, "model": model, "ema": None, "optimizer": None, "best_fitness": np.array([0.5])}
        torch.save({**content, "model": None, kept_as: model}, "small.pt")
        expected = model.state_dict()
    assert "models.yolo" not in sys.modules
    found = read_checkpoint(Path("small.pt"))
    assert list(found.tensors) == list(expected)
    assert all(torch.equal(found.tensors[key], value) for key, value in expected.items())
    assert found.names == ("thing 0", "thing 1", "thing 2")
    assert found.strides == (8, 16, 32)
    assert found.activations == {"leaky_relu"}
    assert found.config == document

    imported, notes = import_weights(Path("small.pt"), Path("run"))
    assert notes == ()
    assert imported.fingerprint == architecture.replace(size=640).fingerprint
    run = load_run("run")
    assert run.classes == found.names
    state = from_official(found.tensors, architecture)
    assert all(torch.equal(value, state[name]) for name, value in run.model.state_dict().items())


def test_an_activation_other_than_the_architectures_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The known trap: weights of the leaky tiny load into the SiLU one without a murmur, and detect nothing."""
    architecture = catscale.load("yolov7-tiny").scale(width=0.125, divisor=16)
    with monkeypatch.context() as patch:
        tensors = to_official(catscale.build(architecture))
        document = yaml.safe_load(official_yaml(architecture))
        model = pickled_model(document, architecture.strides, tensors, patch, nn.LeakyReLU)
        torch.save({"model": model}, "leaky.pt")
    Path("silu.yaml").write_text(architecture.scale(activation="silu").to_yaml(), encoding="utf-8")
    _, notes = import_weights(Path("leaky.pt"), Path("run"), "silu.yaml")
    assert "its activation is leaky_relu, that of yolov7-tiny-width0.125-activation-silu is silu" in notes[0]


class Reduce:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {TRAP}",)


def archive(
    data: bytes,
    storages: dict[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
    name: str = "data.pkl",
) -> None:
    """A file such as torch writes, of a pickle of one's own."""
    with zipfile.ZipFile("hostile.pt", "w", compression) as file:
        file.writestr(f"hostile/{name}", data)
        for number, content in (storages or {}).items():
            file.writestr(f"hostile/data/{number}", content)


def opcodes(module: str, name: str, argument: str) -> bytes:
    """Calls a function by name."""
    return f"c{module}\n{name}\n(V{argument}\ntR.".encode()


def tensor(storage: bytes, offset: int = 0, side: int = 2, stride: int = 1) -> bytes:
    """A state dict of one tensor over a storage."""
    shape = f"I{offset}\n(I{side}\nt(I{stride}\ntI00\nccollections\nOrderedDict\n(tR".encode()
    return b"\x80\x02}Vweight\nctorch._utils\n_rebuild_tensor_v2\n(" + storage + shape + b"tRs."


def storage(kind: str = "torch\nFloatStorage", key: str = "0", count: int = 2) -> bytes:
    return f"(Vstorage\nc{kind}\nV{key}\nVcpu\nI{count}\ntQ".encode()


TWO = struct.pack("<2f", 1.0, 2.0)
HOSTILE: dict[str, tuple[Callable[[], Any], str]] = {
    "reduce": (lambda: torch.save({"model": Reduce()}, "hostile.pt"), "asks for posix.system"),
    "reduce in a state dict": (lambda: torch.save({"a": torch.ones(1), "b": Reduce()}, "hostile.pt"), "posix.system"),
    "eval": (lambda: archive(opcodes("builtins", "eval", "1")), "asks for builtins.eval"),
    "old name of builtins": (lambda: archive(opcodes("__builtin__", "exec", "1")), "asks for __builtin__.exec"),
    "a name with dots": (lambda: archive(opcodes("os.path", "os.system", "1")), "asks for os.path.os.system"),
    "a torch function": (lambda: archive(opcodes("torch", "load", "/etc/passwd")), "neither a model nor a state dict"),
    "a call of what is no function": (lambda: archive(b"V1\n(tR."), "damaged pickle: a call of str"),
    "a state for what is no object": (lambda: archive(b"V1\n}b."), "damaged pickle: a state for str"),
    "an instance of old": (lambda: archive(b"(ios\nsystem\n."), "holds INST"),
    "an extension": (lambda: archive(b"\x80\x02\x82\x01."), "holds EXT1"),
    "a textual persistent id": (lambda: archive(b"Pevil\n."), "holds PERSID"),
    "a persistent id of another kind": (lambda: archive(tensor(b"(Vmodule\nVos\ntQ")), "is no storage"),
    "a storage of another class": (lambda: archive(tensor(storage("torch\nload")), {"0": TWO}), "is no storage"),
    "a storage that is a path": (lambda: archive(tensor(storage(key="../../x")), {"0": TWO}), "storage ../../x is not"),
    "a storage larger than the file": (lambda: archive(tensor(storage(count=2**40)), {"0": TWO}), "is not the 1,099"),
    "a tensor beyond its storage": (
        lambda: archive(tensor(storage(), offset=1), {"0": TWO}),
        r"shape \(2,\) is larger",
    ),
    "one element a billion times": (
        lambda: archive(tensor(storage(), side=10**9, stride=0), {"0": TWO}),
        r"shape \(1000000000,\) is larger",
    ),
    "a negative offset": (lambda: archive(tensor(storage(), offset=-1), {"0": TWO}), "without a proper shape"),
    "a zip bomb": (lambda: archive(b"\0" * 10**6, compression=zipfile.ZIP_DEFLATED), "it is compressed"),
    "a key that is a tuple": (lambda: archive(b"}(VA\ntVB\ns."), "a key that is a tuple"),
    "a memo of two billion": (lambda: archive(b"\x80\x02}r\xff\xff\xff\x7f."), "neither a model nor a state dict"),
    "a string longer than the file": (lambda: archive(b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x."), "damaged"),
    "no end": (lambda: archive(b"\x80\x02}"), "damaged pickle"),
    "nothing to take": (lambda: archive(b"0."), "damaged pickle"),
    "another archive": (lambda: archive(b"", name="other.txt"), "no data.pkl"),
    "no archive": (lambda: Path("hostile.pt").write_bytes(pickle.dumps(Reduce())), "can be read safely"),
}


@pytest.mark.parametrize("trick", HOSTILE)
def test_a_hostile_file_is_refused_and_runs_nothing(trick: str) -> None:
    make, words = HOSTILE[trick]
    make()
    with pytest.raises(InputError, match=words):
        read_checkpoint(Path("hostile.pt"))


def test_the_same_bytes_would_run_if_they_were_unpickled() -> None:
    """The trap is a real one: python's own reader springs it."""
    pickle.loads(pickle.dumps(Reduce()))  # noqa: S301
    assert TRAP.exists()
    TRAP.unlink()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=20))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(changes: list[tuple[float, int]]) -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1))
    torch.save({"model": model, "epoch": 1}, "damaged.pt")
    data = bytearray(Path("damaged.pt").read_bytes())
    for place, value in changes:
        data[int(place * len(data))] = value
    Path("damaged.pt").write_bytes(data)
    with suppress(InputError):
        assert read_checkpoint(Path("damaged.pt")).tensors


def test_parts_that_claim_more_than_the_file_holds_are_refused() -> None:
    archive(tensor(storage()), {"0": TWO})
    data = Path("hostile.pt").read_bytes()
    assert torch.equal(read_checkpoint(Path("hostile.pt")).tensors["weight"], torch.tensor([1.0, 2.0]))
    entry = data.rindex(b"PK\x01\x02")  # the last entry of the directory, at its end: the storage
    sizes = struct.pack("<II", 2**31, 2**31)
    Path("hostile.pt").write_bytes(data[: entry + 20] + sizes + data[entry + 28 :])
    with pytest.raises(InputError, match="its parts claim to be larger than the file"):
        read_checkpoint(Path("hostile.pt"))


def test_modules_in_a_circle_are_refused() -> None:
    """A model that holds itself, as the opcodes can say it."""
    inner = b"cmodels.yolo\nModel\n)\x81q\x00}V_modules\n}Vsame\nh\x00sssb."
    archive(b"\x80\x02" + inner.replace(b"sssb", b"ssb"))
    with pytest.raises(InputError, match="modules stand more than 32 deep"):
        read_checkpoint(Path("hostile.pt"))


def test_a_state_dict_of_before_zip_files_is_read() -> None:
    tensors = {"model.0.conv.weight": torch.ones(2)}
    torch.save(tensors, "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(read_checkpoint(Path("old.pt")).tensors["model.0.conv.weight"], torch.ones(2))


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"a": torch.ones(1), "b": "text"}, [torch.ones(1)], io.StringIO])
def test_files_without_weights_are_refused(content: Any) -> None:
    torch.save(content, "other.pt")
    with pytest.raises(InputError, match=r"other\.pt: (holds neither a model nor a state dict|refused)"):
        read_checkpoint(Path("other.pt"))
