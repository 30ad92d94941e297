"""Training recipes: every setting of a training, as YAML that is checked before anything starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ..blocks.errors import InputError, nearest
from ..scaler.documents import parse, read_yaml
from .data.settings import Augment, Cache
from .pairings import AssignerWord

BUILT_IN = Path(__file__).parent / "recipes"
Amp = Literal["auto", "fp32", "bf16", "fp16", "bf16-backward"]


def _wanted(value: Any) -> Any:
    """What anchors may be; whether they fit an architecture shows when they meet one."""

    def sides(level: Any) -> bool:
        return isinstance(level, list) and all(isinstance(it, int | float) and not isinstance(it, bool) for it in level)

    if value not in ("auto", "keep") and not (isinstance(value, list) and value and all(map(sides, value))):
        raise ValueError("give auto, keep, or for each level its widths and heights in px, [[10, 13, 16, 30], ...]")
    return value


Wanted = Annotated[Literal["auto", "keep"] | list[list[float]], BeforeValidator(_wanted)]


class Recipe(BaseModel):
    """A training's settings. What each default is and where it comes from stands in `recipes/p5.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)  # images in a forward pass
    nominal_batch: int = Field(ge=1)  # images in an optimiser step: smaller batches accumulate
    optimiser: Literal["sgd", "adamw"]
    schedule: Literal["cosine", "linear"]
    lr0: float = Field(gt=0)
    lrf: float = Field(gt=0, le=1)  # the schedule ends at lr0 * lrf
    horizon: float = Field(1.0, gt=0)  # the share of the epochs after which it does: the rate then stays, or is cut off
    momentum: float = Field(ge=0, lt=1)  # AdamW's first beta
    weight_decay: float = Field(ge=0)  # of convolution weights, for an optimiser step of `nominal_batch` images
    warmup_epochs: float = Field(ge=0)
    warmup_iterations_min: int = Field(ge=0)  # warm-up lasts at least this many batches
    warmup: Literal["linear", "quadratic"] = "linear"  # how the rates rise
    warmup_momentum: float = Field(ge=0, lt=1)
    warmup_bias_lr: float = Field(ge=0)
    clip_norm: float = Field(ge=0)  # longer gradients are shortened to this norm; 0: none is
    patience: int = Field(ge=0)  # epochs without a better one that end the training; 0: all epochs are run
    amp: Amp  # mixed precision: see `trainer/precision.py`
    compile: bool  # by torch.compile: a minute or more before the first step, for faster ones
    box: float = Field(ge=0)  # gains of the terms of an anchor head's loss; those of others are in `point_loss.py`
    obj: float = Field(ge=0)
    cls: float = Field(ge=0)
    aux: float = Field(ge=0)  # gain of the auxiliary heads
    anchor_t: float = Field(gt=1)  # an anchor fits an object where neither side differs by this factor
    anchors: Wanted  # "keep" the architecture's, "auto", or for each level, finest first, [w, h, w, h, ...] in px
    assigner: AssignerWord  # who answers for an object; which head goes with which: `pairings.py`
    ota_top_k: int = Field(ge=1)  # predictions whose overlaps with an object say how many places it takes
    aux_assignment: Literal["independent", "lead", "coarse-to-fine"]  # see `anchor_loss.Assignment`
    aux_constraint: bool  # an auxiliary head's boxes reach no further from their cell than the lead head's
    label_smoothing: float = Field(ge=0, lt=1)
    ema_decay: float = Field(ge=0, lt=1)
    ema_tau: float = Field(gt=0)  # the decay rises to `ema_decay` over about this many steps
    augment: Augment
    atss_epochs: int = Field(100, ge=0)  # of `task-aligned`: the first, in which predictions are not looked at
    close_mosaic: int = Field(0, ge=0)  # epochs at the end without mosaic, mixup and paste-in; see `closing`
    multi_scale: bool = False  # each batch at a size of its own, half to one and a half times the input's
    cache: Cache = "auto"  # where decoded images are kept
    conf: float = Field(ge=0, lt=1)  # evaluation: detections below are dropped
    iou: float = Field(gt=0, le=1)  # evaluation: threshold of the non-maximum suppression
    max_det: int = Field(ge=1)  # evaluation: detections per image

    def augment_of(self, epoch: int) -> Augment:
        """What is done to the images of an epoch, counted from 0."""
        return self.augment.single() if self.closing(epoch) else self.augment

    def closing(self, epoch: int) -> bool:
        """Whether an epoch, counted from 0, is one of the last, in which a decoupled head learns its raw boxes, too."""
        return epoch >= self.epochs - self.close_mosaic


def load_recipe(ref: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe by name (as in `recipes/`) or from a YAML file, with some settings replaced.

    A file either says every setting or begins with `base:`, a built-in recipe's name, and says what differs.
    `overrides` are settings as in a file; `augment` there replaces only the changes that it names.

    Raises:
        InputError: no such recipe, or a setting that is unknown, missing or out of range.
    """
    path = _path(str(ref))
    document = _merged(_read(path), overrides or {})
    names = {"augment": tuple(Augment.model_fields)}
    return parse(Recipe, document, str(path) if not overrides else f"{path} with overrides", names=names)


def recipe_names() -> tuple[str, ...]:
    """The built-in recipes."""
    return tuple(sorted(path.stem for path in BUILT_IN.glob("*.yaml")))


def _path(ref: str) -> Path:
    if ref in recipe_names():
        return BUILT_IN / f"{ref}.yaml"
    if ref.endswith((".yaml", ".yml")):
        return Path(ref)
    raise InputError(f"no recipe {ref!r} (a file's name ends in .yaml); {nearest(ref, recipe_names())}")


def _read(path: Path) -> dict[str, Any]:
    document = read_yaml(path)
    base = document.pop("base", None)
    if base is None:
        return document
    if base not in recipe_names():
        raise InputError(f"{path}: base: no recipe {base!r}; {nearest(str(base), recipe_names())}")
    return _merged(_read(BUILT_IN / f"{base}.yaml"), document)


def _merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**document, **changes}
    below, above = document.get("augment"), changes.get("augment")
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        merged["augment"] = {**below, **above}
    return merged
