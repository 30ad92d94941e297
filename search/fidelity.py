"""How much of a training a trial gets, and at which points it may end early."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Stop = Literal["none", "front", "halving", "median", "hyperband", "asha"]


class Fidelity(BaseModel):
    """What a whole training of the study is, and where one may be stopped before its end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int | None = Field(default=None, ge=1)  # of a whole training; the recipe's where it is left out
    rungs: tuple[int, ...] | None = None  # epochs after which is decided; a quarter, a half, three quarters if left out
    stop: Stop = "none"  # front and halving are for several objectives, the others for a single one
    size_px: int | None = Field(default=None, ge=1)  # of the images that the study trains on
    data: float = Field(default=1.0, gt=0, le=1)  # share of the training images that each candidate learns from

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        rungs = self.rungs or ()
        if any(rung < 1 for rung in rungs) or list(rungs) != sorted(set(rungs)):
            raise ValueError(f"rungs {list(rungs)} must be epochs from 1, ascending, each once")
        if rungs and self.epochs is not None and rungs[-1] >= self.epochs:
            raise ValueError(f"rungs: {rungs[-1]} is not before the last epoch, {self.epochs}")
        if rungs and self.stop == "none":
            raise ValueError("rungs: nothing is decided there with stop: none; say stop: front or halving")
        return self
