"""How a latency is taken: everything that is chosen, in one value that travels with each result. No torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from ...blocks.errors import InputError, nearest
from .plain import fields_of

VERSION = 1  # of the rules in this folder; figures taken by other rules are not comparable
DTYPES = ("fp32", "tf32", "fp16", "bf16")
PARTS = ("forward", "nms", "end-to-end")
MEMORY_FORMATS = ("channels_last", "contiguous")


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What is run where, and when its time counts.

    Raises:
        InputError: when made, if a value cannot be; with its name.
    """

    runtime: str = "torch"  # a name of `runtimes.RUNTIMES`
    device: str = "cpu"  # "cpu", "cuda", "cuda:1", or "auto" where a runtime has yet to find it
    dtype: str = "fp32"  # tf32: float32 whose matrix products may be rounded to 10 bits
    batch: int = 1
    size: int | None = None  # pixels of a side; each architecture's own where None
    part: str = "forward"  # of `PARTS`
    memory_format: str = "channels_last"
    threads: int | None = None  # of a CPU, each with a core of its own; all there are where None
    cold_cache: bool = False  # caches are emptied before each run
    least_warm_up: int = 3  # runs whose median is compared with that of as many before
    most_warm_up: int = 50
    steady: float = 0.02  # the warm-up ends when that median moves by less than this share
    runs: int = 30  # timed at least
    most_runs: int = 300  # at most, while an interval is still too wide
    cap_s: float = 10.0  # seconds of each graph after which no further round begins, if there are `LEAST_RUNS`
    confidence: float = 0.95  # of the interval of the median
    widest_interval: float = 0.05  # its width as a share of the median, above which the figure is refused

    def __post_init__(self) -> None:
        for name, known in (("dtype", DTYPES), ("part", PARTS), ("memory_format", MEMORY_FORMATS)):
            if (value := getattr(self, name)) not in known:
                raise InputError(f"latency: {name} {value!r}; {nearest(str(value), known)}")
        for name in ("batch", "size", "threads", "least_warm_up", "most_warm_up", "runs", "most_runs"):
            value = getattr(self, name)
            if value is None and name in ("size", "threads"):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"latency: {name} {value!r}; it must be a whole number, at least 1")
        for name, low, high in (
            ("steady", 0, 1),
            ("cap_s", 0, float("inf")),
            ("confidence", 0, 1),
            ("widest_interval", 0, float("inf")),
        ):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not low < value < high:
                raise InputError(f"latency: {name} {value!r}; it must lie between {low} and {high}")

    def replace(self, **choices: Any) -> Self:
        """The same protocol with other choices."""
        return replace(self, **choices)

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the version of the rules."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str = "protocol") -> Self:
        """A protocol from plain data.

        Raises:
            InputError: a key is unknown, a value cannot be, or the rules are of another version.
        """
        choices = dict(document)
        if (version := choices.pop("version", VERSION)) != VERSION:
            raise InputError(f"{where}: version {version!r} of the latency protocol; this catscale has {VERSION}")
        return cls(**fields_of(cls, choices, where))
