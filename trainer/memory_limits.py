"""Memory that a training needs and has: which errors mean that there was too little, and the batch that fits."""

import re

import torch
from torch.autograd.graph import saved_tensors_hooks

from ..blocks.errors import CatscaleError
from ..scaler.architecture import Architecture
from .data.loader import Batch
from .data.memory import free_bytes
from .optimiser import Schedule, accumulation, with_batch
from .recipe import Recipe
from .step import Stepper
from .threads import sharing_cores

SPARE = 0.8  # the share of the free memory that a step may take
BESIDE = 2.0  # a step's peak over what the forward pass keeps: gradients of maps, work space


# What is said on the processor: by torch's allocator, by C++, and by oneDNN, which has no memory for a kernel's code or
# its work space (a kernel that it lacks is a "primitive descriptor" that it could not create).
SAID = re.compile(r"not enough memory|can't allocate memory|bad_alloc|could not (create|execute) a primitive$")


class OutOfMemory(CatscaleError):
    """Memory was short, also for the smallest batch."""


class ShortOfMemory(OutOfMemory):
    """Memory was short in one of several processes: all have to begin again with `fewer` images."""

    def __init__(self, message: str, fewer: int) -> None:
        super().__init__(message)
        self.fewer = fewer


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: torch has a class for it on CUDA, and words on the processor."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or bool(SAID.search(str(error)))


def fitting_batch(
    arch: Architecture, recipe: Recipe, *, size_px: int, device: torch.device | str, images: int
) -> Recipe:
    """The recipe with the largest batch that a real step has room for, and as many images in an optimiser step.

    Batches are divisors of the images in a step, so that the effective batch is kept exactly. On the processor, where
    too large a step is not refused but killed, one with a single image is measured first, and no step is tried that
    would take more than the free memory.

    Args:
        arch: the detector.
        recipe: says how many images make an optimiser step.
        size_px: side of the square input.
        device: where it is to train.
        images: of the data set; no batch is larger.

    Raises:
        OutOfMemory: not even one image fits.
    """
    device = torch.device(device)
    whole = recipe.batch * accumulation(recipe)
    parts = [part for part in range(min(whole, images), 0, -1) if whole % part == 0]
    most = whole if device.type == "cuda" else _most_images(arch, recipe, size_px, device)
    with sharing_cores(device):
        for part in parts:
            if part == 1 or (part <= most and _fits(arch, with_batch(recipe, part), size_px, device)):
                return with_batch(recipe, part)
    raise OutOfMemory(f"{arch.name}: no memory for one image of {size_px} px")


def _most_images(arch: Architecture, recipe: Recipe, size_px: int, device: torch.device) -> int:
    """As many images as the free memory has room for, by what a step with one keeps for its backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    step = Stepper(arch, recipe, device=device, size_px=size_px)
    weights = {parameter.untyped_storage().data_ptr() for parameter in step.model.parameters()}
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        _try(step, recipe, 1, size_px)
    image = BESIDE * sum(size for pointer, size in kept.items() if pointer not in weights)
    return int(SPARE * free_bytes() / image)


def _fits(arch: Architecture, recipe: Recipe, size_px: int, device: torch.device) -> bool:
    try:
        step = Stepper(arch, recipe, device=device, size_px=size_px)
        _try(step, recipe, recipe.batch, size_px)
        if device.type == "cuda":
            total = torch.cuda.get_device_properties(device).total_memory
            return torch.cuda.max_memory_allocated(device) < SPARE * total
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return False
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
    return True


def _try(step: Stepper, recipe: Recipe, images: int, size_px: int) -> None:
    """A whole step with as many grey images, with an object in each."""
    targets = torch.tensor([[float(image), 0.0, 0.5, 0.5, 0.3, 0.3] for image in range(images)])
    batch = Batch(torch.full((images, 3, size_px, size_px), 128, dtype=torch.uint8), targets, tuple(range(images)), ())
    step.model.train()
    step.put(Schedule(recipe, 1).at(0, 0))
    step.loss.begin(recipe.epochs - 1)  # whose assignment is the one that looks at predictions
    step.backward(step.measure(step.forward(step.images(batch)), batch, images).total)
    step.update()
