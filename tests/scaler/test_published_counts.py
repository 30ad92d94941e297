"""The zoo's counts are the published ones, to the last digit."""

import catscale
import pytest

# Parameters of the train and the deploy graph, and MACs of the deploy graph at a size: measured on the released
# configurations (and, of Table 3, on their reconstruction). Of YOLOR, the released object keeps its implicit vectors
# after folding them; we count what is computed, so these (level widths, and 3 x 85 for each level) are taken off.
MEASURED = [
    ("yolov7-tiny", 416, 6_228_762, 6_219_709, 2_894_275_072),
    ("yolov7-tiny", 320, 6_228_762, 6_219_709, 1_712_588_800),
    ("yolov7-tiny-silu", 640, 6_228_762, 6_219_709, 6_850_355_200),
    ("yolov7", 640, 37_622_682, 36_905_341, 52_255_539_200),
    ("yolov7-x", 640, 71_347_394, 71_311_741, 94_836_838_400),
    ("yolov7-w6", 1280, 82_312_436, 70_394_300, 179_858_636_800),
    ("yolov7-e6", 1280, 111_898_292, 97_202_940, 257_212_825_600),
    ("yolov7-d6", 1280, 154_709_364, 133_757_052, 350_869_094_400),
    ("yolov7-e6e", 1280, 166_408_884, 151_687_420, 421_092_147_200),
    ("yolov4-csp", 640, 52_921_437, 52_889_053, 60_119_859_200),
    ("yolor-csp", 640, 52_923_994, 52_891_610 - 2_557, 60_119_859_200),
    ("yolor-csp-x", 640, 96_943_410, 96_895_730 - 3_005, 113_259_008_000),
    ("yolor-p6", 1280, 37_265_016, 37_232_824 - 2_812, 162_558_515_200),
    ("yolor-w6", 1280, 79_873_400, 79_828_024 - 3_580, 226_323_660_800),
    ("yolor-e6", 1280, 115_899_960, 115_840_120 - 4_220, 341_059_584_000),
    ("yolor-d6", 1280, 151_773_240, 151_696_760 - 4_220, 467_216_384_000),
    ("yolov7-x-light", 640, None, 47_045_245, None),
    ("yolov7-x-light-width-only", 640, None, 73_356_765, None),
    ("yolov7-x-light-depth-only", 640, None, 69_285_757, None),
]

# arXiv:2207.02696, Tables 1 to 3: parameters in M and FLOPs in G as printed, and the convention that gives them.
PAPER = [
    ("yolov7-tiny", 416, "6.2", "5.8", "paper"),
    ("yolov7-tiny-silu", 640, "6.2", "13.8", "unfused-bn"),
    ("yolov7", 640, "36.9", "104.7", "paper"),
    ("yolov7-x", 640, "71.3", "189.9", "paper"),
    ("yolov4-csp", 640, "52.9", "120.4", "paper"),
    ("yolor-csp", 640, "52.9", "120.4", "paper"),
    ("yolor-csp-x", 640, "96.9", "226.8", "paper"),
    ("yolov7-x-light", 640, "47.0", "125.5", "paper"),
    ("yolov7-x-light-width-only", 640, "73.4", "195.5", "unfused-bn"),
    ("yolov7-x-light-depth-only", 640, "69.3", "187.6", "unfused-bn"),
]
PAPER_1280 = [
    ("yolov7-w6", "70.4", "360.0", "paper"),
    ("yolov7-e6", "97.2", "515.2", "paper"),
    ("yolov7-e6e", "151.7", "843.2", "paper"),
    ("yolov7-d6", "154.7", "806.8", "paper-train"),
    ("yolor-p6", "37.2", "325.6", "paper"),
    ("yolor-w6", "79.8", "453.2", "paper"),
    ("yolor-e6", "115.8", "683.2", "paper"),
    ("yolor-d6", "151.7", "935.6", "paper"),
]


@pytest.mark.parametrize(("model", "size", "params_train", "params", "macs"), MEASURED)
def test_counts_are_those_of_the_released_model(
    model: str, size: int, params_train: int | None, params: int, macs: int | None
) -> None:
    cost = catscale.load(model).cost(size)
    assert cost.params == params
    assert params_train in (None, cost.params_train)
    assert macs in (None, cost.macs)


@pytest.mark.parametrize(("model", "size", "params_m", "gflops", "convention"), PAPER)
def test_counts_are_those_printed_in_the_paper(
    model: str, size: int, params_m: str, gflops: str, convention: str
) -> None:
    cost = catscale.load(model).cost(size)
    assert (f"{cost.params / 1e6:.1f}", f"{cost.flops(convention) / 1e9:.1f}") == (params_m, gflops)


@pytest.mark.parametrize(("model", "params_m", "gflops", "convention"), PAPER_1280)
def test_rows_at_1280_are_the_640_figure_rounded_then_times_four(
    model: str, params_m: str, gflops: str, convention: str
) -> None:
    cost = catscale.load(model).cost(640)
    params = cost.params_train if convention == "paper-train" else cost.params  # D6 is printed with its aux heads
    assert f"{params / 1e6:.1f}" == params_m
    assert f"{4 * round(cost.flops(convention) / 1e9, 1):.1f}" == gflops


def test_unfused_outputs_of_the_train_graphs() -> None:
    """Conv output elements of the train graph at the model's size, as measured on the released configurations."""
    outputs = {"yolov7": 89_694_000, "yolov7-w6": 242_978_400, "yolov7-e6": 371_836_000, "yolov7-e6e": 550_780_000}
    for model, expected in outputs.items():
        assert sum(layer.cost.activations for layer in catscale.load(model).cost().train) == expected


def test_an_unknown_convention_is_named() -> None:
    with pytest.raises(catscale.InputError, match=r"no FLOPs convention is called 'papr'; did you mean 'paper'\?"):
        catscale.load("yolov7-tiny").cost().flops("papr")
