"""Recipes: the built-in ones as published, and what a file of one's own may say."""

from pathlib import Path

import pytest
from catscale.blocks.errors import InputError
from catscale.scaler.documents import dump_yaml
from catscale.trainer.recipe import load_recipe, recipe_names


@pytest.mark.parametrize(
    ("name", "lrf", "obj", "cls", "translate", "scale", "joined"),  # the published hyper-parameters
    [
        ("p5", 0.1, 0.7, 0.3, 0.2, 0.9, 0.15),
        ("p6", 0.2, 0.7, 0.3, 0.2, 0.9, 0.15),
        ("tiny", 0.01, 1.0, 0.5, 0.1, 0.5, 0.05),
        ("custom", 0.1, 0.7, 0.3, 0.2, 0.5, 0.0),
    ],
)
def test_published_recipes(
    name: str, lrf: float, obj: float, cls: float, translate: float, scale: float, joined: float
) -> None:
    recipe = load_recipe(name)
    assert (recipe.lrf, recipe.obj, recipe.cls) == (lrf, obj, cls)
    assert (recipe.augment.translate, recipe.augment.scale) == (translate, scale)
    assert (recipe.augment.mosaic, recipe.augment.mixup, recipe.augment.paste_in) == (1, joined, joined)
    assert (recipe.augment.degrees, recipe.augment.shear, recipe.augment.perspective) == (0, 0, 0)
    assert (recipe.multi_scale, recipe.close_mosaic) == (False, 0)
    assert (recipe.lr0, recipe.momentum, recipe.weight_decay, recipe.nominal_batch) == (0.01, 0.937, 5e-4, 64)
    assert (recipe.warmup_epochs, recipe.warmup_iterations_min, recipe.warmup_bias_lr) == (3, 1000, 0.1)
    assert (recipe.ema_decay, recipe.ema_tau, recipe.epochs) == (0.9999, 2000, 300)
    assert (recipe.conf, recipe.iou, recipe.max_det) == (0.001, 0.65, 300)


@pytest.mark.parametrize(
    ("name", "assigner", "images", "decay", "warmup", "close_mosaic", "mosaic"),  # the released settings
    [
        ("yolox", "simota", 64, 5e-4, "quadratic", 15, 1.0),
        ("pp-yoloe", "task-aligned", 256, 4 * 5e-4, "linear", 0, 0.0),
    ],
)
def test_published_recipes_of_heads_without_anchors(
    name: str, assigner: str, images: int, decay: float, warmup: str, close_mosaic: int, mosaic: float
) -> None:
    recipe = load_recipe(name)
    assert (recipe.assigner, recipe.nominal_batch, recipe.weight_decay) == (assigner, images, decay)
    assert (recipe.lr0, recipe.momentum, recipe.ema_decay, recipe.epochs) == (0.01, 0.9, 0.9998, 300)
    assert (recipe.warmup, recipe.warmup_epochs, recipe.warmup_bias_lr) == (warmup, 5, 0)
    assert (recipe.close_mosaic, recipe.augment.mosaic, recipe.augment.mixup) == (close_mosaic, mosaic, mosaic)
    assert (recipe.ota_top_k, recipe.atss_epochs) == (10, 100)


def test_every_built_in_recipe_survives_being_written_and_read(tmp_path: Path) -> None:
    assert recipe_names() == ("custom", "p5", "p6", "pp-yoloe", "quick", "quick-points", "tiny", "yolox")
    for name in recipe_names():
        path = tmp_path / f"{name}.yaml"
        path.write_text(dump_yaml(load_recipe(name).model_dump()))
        assert load_recipe(path) == load_recipe(name)


def test_a_file_says_what_differs_from_its_base_and_overrides_come_last(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("base: tiny\nlr0: 0.02\naugment: {flipud: 0.5}\n")
    recipe = load_recipe(path, {"lr0": 0.03, "augment": {"scale": 0.2}})
    tiny = load_recipe("tiny")
    assert recipe.lr0 == 0.03
    assert recipe.augment == tiny.augment.model_copy(update={"flipud": 0.5, "scale": 0.2})
    assert recipe.model_copy(update={"lr0": tiny.lr0, "augment": tiny.augment}) == tiny


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: p5\nlr: 0.1\n", r"mine\.yaml: unknown key 'lr'; did you mean 'lrf'\?"),
        ("base: p5\naugment: {fliplf: 1}\n", r"mine\.yaml: augment: unknown key 'fliplf'; did you mean 'fliplr'\?"),
        ("base: p5\nepochs: 0\n", r"mine\.yaml: epochs: input should be greater than or equal to 1, not 0"),
        ("base: p5\nmomentum: high\n", r"mine\.yaml: momentum: .*valid number.*, not 'high'"),
        (
            "base: p7\n",
            r"mine\.yaml: base: no recipe 'p7'; known: custom, p5, p6, .*tiny, yolox",
        ),
        ("epochs: 3\n", r"mine\.yaml: 'batch' is missing"),
        ("base: p5\nlr0: .nan\n", r"mine\.yaml: lr0: .*, not nan"),
        ("base: p5\nema_tau: .inf\n", r"mine\.yaml: ema_tau: .*, not inf"),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(path)


@pytest.mark.parametrize(
    ("ref", "message"),
    [("quik", r"no recipe 'quik' .*; did you mean 'quick'"), ("none.yaml", "none.yaml: cannot be read")],
)
def test_an_unknown_recipe_is_refused(ref: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_recipe(ref)


def test_the_recipe_for_small_data_joins_no_images() -> None:
    augment = load_recipe("quick").augment
    assert augment == augment.single()


def test_the_last_epochs_are_without_mosaic_where_asked() -> None:
    recipe = load_recipe("p5", {"epochs": 10, "close_mosaic": 3})
    assert [recipe.augment_of(epoch).mosaic for epoch in range(10)] == [1] * 7 + [0] * 3
    last = recipe.augment_of(9)
    assert (last.mixup, last.paste_in) == (0, 0)
    assert last.model_copy(update={"mosaic": 1.0, "mixup": 0.15, "paste_in": 0.15}) == recipe.augment


def test_a_mistaken_override_is_refused() -> None:
    with pytest.raises(InputError, match=r"quick\.yaml with overrides: unknown key 'epoch'; did you mean 'epochs'"):
        load_recipe("quick", {"epoch": 3})
