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


# Of YOLOv4, YOLOv5, YOLOX and PP-YOLOE: parameters before and after folding, MACs of the folded graph, FLOPs in G by
# the conventions `paper` and `unfused`; measured on freshly built released models.
BASELINES = [
    ("yolov5-n", 640, 1_872_157, 1_867_405, 2_234_060_800, "4.496", "4.520"),
    ("yolov5-s", 640, 7_235_389, 7_225_885, 8_216_780_800, "16.485", "16.532"),
    ("yolov5-m", 640, 21_190_557, 21_172_173, 24_436_224_000, "48.967", "49.058"),
    ("yolov5-l", 640, 46_563_709, 46_533_693, 54_496_870_400, "109.145", "109.292"),
    ("yolor-u5", 640, 46_563_709, 46_533_693, 54_496_870_400, "109.145", "109.292"),
    ("yolov5-x", 640, 86_749_405, 86_705_005, 102_724_096_000, "205.669", "205.886"),
    ("yolov5-n6", 1280, 3_246_940, 3_239_884, 9_118_105_600, "18.349", "18.445"),
    ("yolov5-s6", 1280, 12_626_620, 12_612_508, 33_594_572_800, "67.398", "67.590"),
    ("yolov5-m6", 1280, 35_731_932, 35_704_908, 99_824_025_600, "200.033", "200.401"),
    ("yolov5-l6", 1280, 76_770_172, 76_726_332, 222_470_144_000, "445.556", "446.154"),
    ("yolov5-x6", 1280, 140_794_780, 140_730_220, 419_129_344_000, "839.158", "840.039"),
    ("yolox-s", 640, 8_968_255, 8_956_703, 13_342_771_200, "26.747", "26.806"),
    ("yolox-m", 640, 25_326_495, 25_304_847, 36_765_158_400, "73.643", "73.755"),
    ("yolox-l", 640, 54_208_895, 54_174_271, 77_646_336_000, "155.472", "155.651"),
    ("yolox-x", 640, 99_071_455, 99_020_975, 140_704_896_000, "281.671", "281.931"),
    ("pp-yoloe-s", 640, 8_084_588, 7_918_060, 8_633_517_312, "17.319", "17.702"),
    ("pp-yoloe-m", 640, 24_134_892, 23_413_500, 24_887_276_352, "49.866", "51.443"),
    ("pp-yoloe-l", 640, 54_078_556, 52_178_012, 54_938_293_248, "110.016", "114.103"),
    ("pp-yoloe-x", 640, 102_331_484, 98_395_084, 103_166_011_200, "206.530", "214.930"),
    ("yolov4", 640, 64_363_101, 64_329_949, 71_129_907_200, "142.513", "142.802"),
    ("yolov4-tiny", 416, 6_056_606, 6_053_502, 3_453_938_176, "6.921", "6.945"),
    ("yolov4-tiny-3l", 320, 6_327_453, 6_324_157, 2_456_422_400, "4.922", "4.937"),
]


@pytest.mark.parametrize(("model", "size", "params_train", "params", "macs", "paper", "unfused"), BASELINES)
def test_baselines_are_counted_as_the_released_models(
    model: str, size: int, params_train: int, params: int, macs: int, paper: str, unfused: str
) -> None:
    cost = catscale.load(model).cost(size)
    assert (cost.params_train, cost.params, cost.macs) == (params_train, params, macs)
    assert [f"{cost.flops(name) / 1e9:.3f}" for name in ("paper", "unfused")] == [paper, unfused]


@pytest.mark.parametrize(
    ("size", "params", "normed", "gflops"),  # measured with the RepConvs merged; the rule is fitted to the source's log
    [
        ("s", 7_926_260, 22_374_400, "17.357"),
        ("m", 23_427_492, 37_132_800, "49.923"),
        ("l", 52_198_924, 54_272_000, "110.094"),
        ("x", 98_424_044, 73_792_000, "206.627"),
    ],
)
def test_pp_yoloe_with_its_rep_convs_merged_and_other_batch_norms_kept(
    size: str, params: int, normed: int, gflops: str
) -> None:
    cost = catscale.load(f"pp-yoloe-{size}").cost()
    assert cost.params_of("merged") == params
    assert sum(layer.cost.normed for layer in cost.merged) == normed
    assert f"{cost.flops('paddle') / 1e9:.3f}" == gflops


@pytest.mark.parametrize(
    ("model", "size", "gflops"),
    [("yolov4", 640, "142.337"), ("yolov4-tiny", 416, "6.910"), ("yolov4-tiny-3l", 320, "4.914")],
)
def test_darknets_own_figure(model: str, size: int, gflops: str) -> None:
    assert f"{catscale.load(model).cost(size).flops('darknet') / 1e9:.3f}" == gflops


def test_unfused_outputs_of_the_train_graphs() -> None:
    """Conv output elements of the train graph at the model's size, as measured on the released configurations."""
    outputs = {"yolov7": 89_694_000, "yolov7-w6": 242_978_400, "yolov7-e6": 371_836_000, "yolov7-e6e": 550_780_000}
    for model, expected in outputs.items():
        assert sum(layer.cost.activations for layer in catscale.load(model).cost().train) == expected


def test_an_unknown_convention_is_named() -> None:
    with pytest.raises(catscale.InputError, match=r"no FLOPs convention is called 'papr'; did you mean 'paper'\?"):
        catscale.load("yolov7-tiny").cost().flops("papr")
