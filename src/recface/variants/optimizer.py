"""Muon for the convolutions and AdamW for the rest, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MUON_MOMENTUM = 0.9  # short training: forget old gradients sooner than the usual 0.95
ORTHOGONALIZATIONS = 4  # Newton-Schulz iterations; rough is enough


def as_matrix(tensor: Tensor, channels_last: bool) -> Tensor:
    """A convolution's weight or gradient (O, C, k, k) as the matrix that it multiplies windows by, (O, C k k).

    Where the weight lies channels-last in memory, columns come in that order, and the matrix is a view.
    """
    return (tensor.permute(0, 2, 3, 1) if channels_last else tensor).flatten(1)


class MuonAdamW(torch.optim.Optimizer):
    """Jordan et al., *Muon* (2024), for matrices inside a network; AdamW for its heads, norms and everything else.

    Muon orthogonalizes the momentum of each weight matrix. Updates have the size of AdamW's (`match_rms_adamw`, Liu et
    al., arXiv 2502.16982), so one rate serves both. `torch.optim.Muon` takes matrices only, so it is given views of the
    convolutions' weights. On the embedded benchmark a step is worth about one and a half of AdamW's.

    Args:
        convolutions: Weights (O, C, k, k).
        others: All other parameters.
        rate: Learning rate of both.
        betas: Of AdamW.
        weight_decay: Decoupled, of both.
    """

    def __init__(
        self,
        convolutions: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        rate: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        self.convolutions, self.others = list(convolutions), list(others)
        self.channels_last = [w.is_contiguous(memory_format=torch.channels_last) for w in self.convolutions]
        self.matrices = [as_matrix(w.detach(), c) for w, c in zip(self.convolutions, self.channels_last, strict=True)]
        self.muon = torch.optim.Muon(
            self.matrices,
            lr=rate,
            momentum=MUON_MOMENTUM,
            weight_decay=weight_decay,
            ns_steps=ORTHOGONALIZATIONS,
            adjust_lr_fn="match_rms_adamw",
        )
        self.adamw = torch.optim.AdamW(self.others, rate, betas, weight_decay=weight_decay, fused=True)
        groups: list[dict[str, Any]] = [{"params": self.matrices}, {"params": self.others}]
        super().__init__(groups, {"lr": rate})
        self._share_groups()

    def _share_groups(self) -> None:
        """Schedulers change the groups in place, so those seen from outside are the inner optimizers' own."""
        self.param_groups = [*self.muon.param_groups, *self.adamw.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for matrix, weight, last in zip(self.matrices, self.convolutions, self.channels_last, strict=True):
            matrix.grad = None if weight.grad is None else as_matrix(weight.grad, last)
        self.muon.step()
        self.adamw.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for parameter in (*self.matrices, *self.convolutions, *self.others):
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Both states, plain."""
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.muon.load_state_dict(state_dict["muon"])
        self.adamw.load_state_dict(state_dict["adamw"])
        self._share_groups()


def build_optimizer(module: nn.Module, settings: dict[str, Any], rate: float) -> torch.optim.Optimizer:
    """The configured optimizer over a variant's trained parameters: AdamW, or with it Muon for convolutions.

    `settings` is the group `optimizer` of a checked configuration, `rate` the largest learning rate of the schedule.
    """
    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    betas, decay = (0.9, settings["beta2"]), settings["weight_decay"]
    if settings["name"] == "adamw":
        return torch.optim.AdamW(trained.values(), rate, betas, weight_decay=decay, fused=True)
    inner = [name for name, parameter in trained.items() if name.startswith("encoders.") and parameter.ndim == 4]
    others = [parameter for name, parameter in trained.items() if name not in inner]
    return MuonAdamW([trained[name] for name in inner], others, rate, betas, decay)
