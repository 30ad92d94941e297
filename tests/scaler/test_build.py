"""Torch models of the zoo: they hold what was counted, give the documented shapes, and deploy to the same function."""

import copy
from collections.abc import Callable

import catscale
import pytest
import torch
from catscale.blocks.modules import PredictLayer, decode
from torch import fx, nn

from .zoo_models import WITH_ANCHORS

SIZE = 128  # pixels: four levels fit, and every zoo model runs in seconds
# Models with every kind of layer among them; the others differ in widths and depths only.
REPRESENTATIVE = ["yolov7-tiny", "yolov7", "yolov7-w6", "yolov7-e6e"]


def randomised(model: fx.GraphModule, seed: int = 0) -> fx.GraphModule:
    """A model whose batch norms have statistics as after training, not those that make them identities."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
    return model.eval()


def raw_maps(model: fx.GraphModule, images: torch.Tensor) -> list[torch.Tensor]:
    """What the lead head's prediction layers give."""
    maps: dict[str, torch.Tensor] = {}
    names = [name for name, module in model.named_modules() if isinstance(module, PredictLayer) and ".lead." in name]

    def keep(name: str) -> Callable[..., None]:
        return lambda _, __, y: maps.update({name: y})

    hooks = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return [maps[name] for name in sorted(names)]


@pytest.mark.parametrize("model", WITH_ANCHORS)
def test_train_and_deploy_graphs_run_and_hold_what_was_counted(model: str) -> None:
    torch.manual_seed(0)
    architecture = catscale.load(model)
    if model not in REPRESENTATIVE:
        architecture = architecture.scale(width=0.25)  # at their own widths they are for `make test-slow`
    train = randomised(catscale.build(architecture))
    deployed = catscale.deploy(train)
    cost = architecture.cost()
    assert isinstance(train, fx.GraphModule)
    assert sum(parameter.numel() for parameter in train.parameters()) == cost.params_train
    assert sum(parameter.numel() for parameter in deployed.parameters()) == cost.params

    images = torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        outputs, boxes = train(images), deployed(images)
    shapes = [(2, 3, SIZE // stride, SIZE // stride, 85) for stride in architecture.strides]
    assert [tuple(y.shape) for y in outputs["lead"]] == shapes
    assert [tuple(y.shape) for y in outputs["aux"]] == (shapes if architecture.has_aux else [])
    assert boxes.shape == (2, sum(3 * (SIZE // stride) ** 2 for stride in architecture.strides), 85)

    expected = decode(outputs["lead"], architecture.anchors, architecture.strides)
    folded = raw_maps(deployed, images)
    assert max(float((a - b).abs().max()) for a, b in zip(folded, outputs["lead"], strict=True)) <= 1e-4
    # A coordinate of 800 px has a float32 step of 6e-5 px: boxes are held to the same bound in units of the image.
    assert float((boxes - expected)[..., :4].abs().max()) / SIZE <= 1e-4
    assert float((boxes - expected)[..., 4:].abs().max()) <= 1e-4


def test_deploying_leaves_the_model_as_it_was() -> None:
    model = randomised(catscale.build(catscale.load("yolov7").scale(width=0.125))).train()
    before = copy.deepcopy(model.state_dict())
    catscale.deploy(model)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("model", REPRESENTATIVE)
def test_layers_are_named_by_their_places(model: str) -> None:
    architecture = catscale.load(model).scale(width=0.125)
    modules = dict(catscale.build(architecture).named_modules())
    for layer in architecture.graph().layers:
        cost = layer.op.cost(*(architecture.graph().shapes()[name] for name in layer.inputs))
        assert (layer.name in modules) == (cost.params > 0), layer.name


def test_e_elan_carries_the_weights_of_the_elan_that_it_extends() -> None:
    """The first group keeps the plain ELAN's names, so that a trained base starts an extended model."""
    base = catscale.load("yolov7-tiny").scale(width=0.25)
    plain, extended = (set(catscale.build(a).state_dict()) for a in (base, base.scale(extend=3)))
    assert plain < extended
    assert {name for name in extended - plain if ".group2." not in name and ".group3." not in name} == set()


def test_a_built_model_can_be_traced_and_printed() -> None:
    model = catscale.build(catscale.load("yolov7-tiny").scale(width=0.125), "deploy").eval()
    assert "self.backbone.p2.elan.tap1.conv1" in model.code
    images = torch.rand(1, 3, 64, 64)
    exported = torch.export.export(model, (images,))
    assert torch.allclose(exported.module()(images), model(images))


def test_priors_of_the_head() -> None:
    """Facts of the released models: objectness starts at 8 objects in a 640-pixel image, classes alike."""
    torch.manual_seed(0)
    architecture = catscale.load("yolov7-w6").scale(width=0.125)
    model = catscale.build(architecture)
    for stride, expected in ((8, -6.685), (16, -5.298), (32, -3.912), (64, -2.526)):
        (layer,) = (
            module
            for name, module in model.named_modules()
            if isinstance(module, PredictLayer) and name.endswith(f"lead.p{stride.bit_length() - 1}")
        )
        assert layer.conv.bias is not None
        bias = layer.conv.bias.detach().view(3, 85)
        spread = layer.conv.weight.shape[1] ** -0.5  # of the framework's own start, which the priors are added to
        assert float((bias[:, 4] - expected).abs().max()) <= spread + 1e-3
        assert float((bias[:, 5:] + 4.880).abs().max()) <= spread + 1e-3
