"""Loggers: what each is told, and that nothing is imported or contacted unasked."""

import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from catscale.blocks.errors import InputError
from catscale.trainer.loggers import LOGGERS, logger_names, logging_to
from catscale.trainer.run_folder import EpochRow


def row(number: int) -> EpochRow:
    losses = {"box": 0.3, "obj": 0.2, "cls": 0.1, "lr": 0.01, "instances": 50, "skipped": 0}
    return EpochRow(
        epoch=number, **losses, ap=0.1 * number, ap50=0.2 * number, ap75=0.0, train_seconds=3, val_seconds=1
    )


ROWS = [row(1), row(2)]


def test_tensorboard_holds_every_epoch(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with logging_to(["tensorboard"], tmp_path / "run", {"lr0": 0.01}) as log:
        assert not (tmp_path / "run").exists()  # nothing is there before the training itself writes
        for each in ROWS:
            log(each)
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    logged = events.Scalars("val/AP")
    assert [event.step for event in logged] == [1, 2]
    assert [event.value for event in logged] == pytest.approx([0.1, 0.2])
    assert {"loss/box", "loss/obj", "loss/cls", "val/AP50", "val/AP75", "train/lr"} <= set(events.Tags()["scalars"])


def test_others_are_told_by_their_own_interfaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []

    def note(name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            ending = args[-1] if name.endswith("end_run") else kwargs.get("exit_code")
            said.append((name, kwargs.get("step", ending)))
            return SimpleNamespace(log=note("wandb.log"), finish=note("wandb.finish"))

        return call

    calls = {name: note(f"mlflow.{name}") for name in ("start_run", "log_params", "log_metrics", "end_run")}
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(**calls))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=note("wandb.init")))
    with suppress(KeyboardInterrupt), logging_to(["mlflow", "wandb"], tmp_path, {}) as log:
        log(ROWS[0])
        raise KeyboardInterrupt
    assert said == [
        ("mlflow.start_run", None),
        ("mlflow.log_params", None),
        ("mlflow.log_metrics", 1),
        ("wandb.init", None),
        ("wandb.log", 1),
        ("mlflow.end_run", "KILLED"),  # an interrupted training ends its loggers too, and they are told
        ("wandb.finish", 1),
    ]


def test_a_logger_that_fails_is_left_out_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: Any) -> None:
        raise ConnectionError("no route\nto host")

    epochs: list[int] = []
    run = SimpleNamespace(log=lambda figures, step: epochs.append(step), finish=lambda exit_code: None)
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(start_run=refuse))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **_: run))
    with logging_to(["mlflow", "wandb"], tmp_path, {}) as log:
        for each in ROWS:
            log(each)
    assert epochs == [1, 2]
    assert capsys.readouterr().err == "warning: --logger mlflow: no route to host; goes on without it\n"


def test_no_logger_is_loaded_unasked(tmp_path: Path) -> None:
    with logging_to([], tmp_path, {}) as log:
        log(ROWS[0])
    assert list(tmp_path.iterdir()) == []
    assert not {"mlflow", "wandb"} & set(sys.modules)


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_logger_that_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catscale.trainer.loggers.find_spec", lambda _: None)
    with pytest.raises(InputError, match=rf"--logger {name}: .* is not installed; pip install 'catscale\[{name}\]'"):
        logger_names(f"{name},")


def test_an_unknown_logger_is_named() -> None:
    with pytest.raises(InputError, match="--logger: no logger 'tensorbord'; did you mean 'tensorboard'"):
        logger_names("tensorbord")
    assert logger_names(None) == []
    assert set(LOGGERS) == {"tensorboard", "mlflow", "wandb"}
