"""Any convolutional timm backbone, cut in two: early stages to share, late stages to copy."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn

from recface.errors import RecfaceError, named
from recface.files.checkpoints import tensors
from recface.files.guard import guarded, require_file, require_modest

PROBE_SIZE = 64  # pixels; the smallest image on which a chain of modules is compared with timm's own features

_SUPPORTED = "choose one of timm's convolutional chains of stages, such as resnet, convnext, regnet or efficientnet"


class Backbone(NamedTuple):
    """A backbone in two parts: a trunk to be shared, and late stages, of which each copy has weights of its own."""

    trunk: nn.Sequential  # images (B,3,S,S) to features (B,C,s,s)
    make_late: Callable[[], nn.Sequential]  # (B,C,s,s) to (B,channels,s',s')
    trunk_channels: int  # C
    channels: int
    mean: tuple[float, ...]  # of the images (RGB in [0, 1]) that the network's published weights expect
    std: tuple[float, ...]


def split_backbone(
    name: str, stage: str | int, weights: str | Path | None = None, end: str | int | None = None
) -> Backbone:
    """Cut a timm backbone behind one of its feature stages.

    Weights are drawn from torch's generator, so `torch.manual_seed` before the call, and before each `make_late`,
    decides them. Nothing is ever downloaded. The last feature stage is the end of the network: a classifier's head is
    not built.

    Args:
        name: A timm model, e.g. "resnet10t".
        stage: The last shared stage: its name as timm lists it (`feature_info`), e.g. "layer2", or its index.
        weights: A local checkpoint of the same timm model. The trunk and every copy of the late stages then start from
            it.
        end: The last stage to use at all, name or index; None is timm's last. On 64-pixel images a stage of stride 32
            sees 2 x 2 pixels and holds three quarters of the parameters, so ending before it can pay.

    Returns:
        The two parts.

    Raises:
        RecfaceError: The model or stage is unknown, the model is not a chain of stages, or the checkpoint does not fit.
    """
    network = _feature_network(name, weights)
    steps, feature_info = list(_steps(network)), network.feature_info
    stages, channels = feature_info.module_name(), feature_info.channels()
    _check_chain(name, network, [module for _, module in steps])
    last = len(stages) - 1 if end is None else _stage_index(name, "end at", end, stages)
    shared = _stage_index(name, "be shared up to", stage, stages[:last])
    cut, stop = _position(steps, stages[shared]), _position(steps, stages[last])

    def make_late() -> nn.Sequential:
        return nn.Sequential(*(module for _, module in list(_steps(_feature_network(name, weights)))[cut:stop]))

    published: Any = timm.get_pretrained_cfg(name)
    return Backbone(
        trunk=nn.Sequential(*(module for _, module in steps[:cut])),
        make_late=make_late,
        trunk_channels=channels[shared],
        channels=channels[last],
        mean=tuple(published.mean),
        std=tuple(published.std),
    )


def _feature_network(name: str, weights: str | Path | None) -> Any:
    """Build timm's feature extractor with its `feature_info`, from torch's generator or from a local checkpoint."""
    if not timm.is_model(name):
        raise RecfaceError(f"model.backbone '{name}' is not a model of timm {timm.__version__}; {_SUPPORTED}")
    options: dict[str, Any] = {"features_only": True, "pretrained": False}
    if weights is not None:
        if not Path(weights).is_file():
            raise RecfaceError(f"model.weights: no file '{weights}'; give the path of a local timm checkpoint")
        stored = _stored(weights)
        options |= {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights)}}
    try:
        network = timm.create_model(name, **options)
    except Exception as error:  # timm raises whatever its model classes raise
        reason = f"weights '{weights}' do not fit" if weights is not None else "no feature stages"
        raise RecfaceError(f"backbone '{name}': {reason} ({_first_line(error)}); {_SUPPORTED}") from error
    if not hasattr(network, "feature_info"):
        raise RecfaceError(f"backbone '{name}' has no feature stages; {_SUPPORTED}")
    if weights is not None:
        _check_loaded(name, network, stored, weights)
    return network


def _steps(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a feature extractor in order; the Sequential with the blocks of a mobile network is opened."""
    for name, module in network.named_children():
        if name == "blocks" and isinstance(module, nn.Sequential):
            yield from ((f"blocks.{key}", block) for key, block in module.named_children())
        else:
            yield name, module


def _position(steps: list[tuple[str, nn.Module]], stage: str) -> int:
    """Index behind the step that is (timm writes `stages.1` as `stages_1` once flattened) a feature stage."""
    return [name.replace("_", ".") for name, _ in steps].index(stage.replace("_", ".")) + 1


def _stage_index(name: str, purpose: str, stage: str | int, choices: list[str]) -> int:
    """Resolve a stage's name or index."""
    if isinstance(stage, int) and -len(choices) <= stage < len(choices):
        return stage % len(choices)
    if stage in choices:
        return choices.index(str(stage))
    known = ", ".join(choices) or "none"
    raise RecfaceError(f"backbone '{name}' cannot {purpose} stage {stage!r}; choose one of {known}")


@torch.no_grad()
def _check_chain(name: str, network: Any, modules: list[nn.Module]) -> None:
    """Refuse networks whose modules, applied one after the other, do not give timm's own last features (B,C,h,w)."""
    image = torch.linspace(-1, 1, 3 * PROBE_SIZE**2).reshape(1, 3, PROBE_SIZE, PROBE_SIZE)
    training = network.training
    network.eval()
    try:
        expected = network(image)[-1]
        chained = nn.Sequential(*modules)(image)
        same = expected.shape[1] == network.feature_info.channels()[-1] and torch.allclose(expected, chained)
    except Exception as error:  # a fixed input size, tuples between modules, arguments beside the features
        raise RecfaceError(f"backbone '{name}' cannot be cut ({_first_line(error)}); {_SUPPORTED}") from error
    finally:
        network.train(training)
    if not same:
        raise RecfaceError(f"backbone '{name}' is not a plain chain of stages; {_SUPPORTED}")


def _stored(weights: str | Path) -> list[Tensor]:
    """The tensors of a timm checkpoint, in any of its forms, flat; nothing in it is executed."""
    from timm.models import load_state_dict

    with named("model.weights"), guarded(weights, "checkpoint", "give a checkpoint of that timm model"):
        if zipfile.is_zipfile(weights):
            with zipfile.ZipFile(weights) as archive:
                require_modest(archive, require_file(weights))
        found = dict(tensors(load_state_dict(str(weights), weights_only=True)))
        for name, tensor in found.items():
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"{name} holds NaN or infinity")
    return [tensor.flatten().float() for tensor in found.values()]


def _check_loaded(name: str, network: nn.Module, stored: list[Tensor], weights: str | Path) -> None:
    """Refuse a checkpoint that left weights or statistics untouched: timm silently skips unknown names."""
    by_size: defaultdict[int, list[Tensor]] = defaultdict(list)
    for tensor in stored:
        by_size[tensor.numel()].append(tensor)
    for key, value in network.state_dict().items():
        counted = key.endswith("num_batches_tracked")
        if not counted and not any(torch.equal(tensor, value.flatten()) for tensor in by_size[value.numel()]):
            hint = "give a checkpoint of that timm model"
            raise RecfaceError(f"model.weights: '{weights}' lacks '{key}' of {name}; {hint}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
