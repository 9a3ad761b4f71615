"""One evaluation of the denoiser as it is deployed: sum of inputs, preconditioning and cut are in the products.

With u = (D + 1) / 2 for the denoised action D, and eq. 7 of Karras et al. 2022 (arXiv:2206.00364) cut to [-1, 1],

    u = hard_sigmoid(3 (c_skip x + c_out (h W + b))) = hard_sigmoid(h W' + X)

where h is the last hidden layer and X = 3 (c_skip x + c_out b). The graph carries X instead of x: it is one product of
the tensors that x is a sum of, and the first layer undoes the scale.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from divo_export.layers import UNIT, FirstLayer, constant
from divo_export.unrolling import NOISE, Evaluation
from divo_train.networks import Denoiser

SLOPE = 3.0
"""ONNX's and torch's hard sigmoid is min(max(x / 6 + 1 / 2, 0), 1); three times D in, (D + 1) / 2 out."""

Affine = tuple[float, Tensor]
"""Scale and (act_dim,) offset: a quantity is scale * tensor + offset."""


def noise_meaning(size: int) -> dict[str, Affine]:
    """Return what the tensors mean before the first evaluation."""
    return {NOISE: (1.0, torch.zeros(size, dtype=torch.float64))}


class DenoiserStep(nn.Module):
    """One evaluation.

    Args:
        denoiser: D.
        evaluation: Noise level and the input's terms.
        meanings: Name -> what the graph's tensor means; the input and the answer of this evaluation are added.
    """

    def __init__(self, denoiser: Denoiser, evaluation: Evaluation, meanings: dict[str, Affine]) -> None:
        super().__init__()
        head, size = denoiser.trunk.head, denoiser.trunk.head.out_features
        spread, sigma = float(denoiser.sigma_data), evaluation.sigma
        total = sigma**2 + spread**2
        out = SLOPE * sigma * spread * total**-0.5
        scale = SLOPE * spread**2 / total
        bias = out * head.bias.detach().double()
        parts, offset = [], bias.clone()
        for name, weight in evaluation.terms.items():
            factor, shift = meanings[name]
            parts.append(scale * weight * factor * torch.eye(size, dtype=torch.float64))
            offset += scale * weight * shift
        meanings[evaluation.name] = (1 / scale, -bias / scale)
        meanings[evaluation.answer] = (UNIT.scale, torch.full((size,), UNIT.offset, dtype=torch.float64))
        self.evaluation = evaluation
        self.mix, self.mix_bias = constant(torch.cat(parts)), constant(offset)
        action_weight = total**-0.5 * denoiser.action_in.weight.detach().double().T
        level = denoiser.level_share(torch.tensor(sigma)).detach().double()
        first_bias = denoiser.observation_in.bias.detach().double() + level - bias / scale @ action_weight
        self.first = FirstLayer(denoiser.observation_in.weight.detach().double().T, first_bias)
        self.action_weight = constant(action_weight / scale)
        self.layers = denoiser.trunk.layers
        self.head_weight = constant(out * head.weight.detach().double().T)

    def forward(self, share: Tensor, tensors: dict[str, Tensor]) -> None:
        """(1, width) share and the tensors so far; adds the input and the answer, (N, act_dim) each."""
        terms = [tensors[name] for name in self.evaluation.terms]
        x = torch.addmm(self.mix_bias, terms[0] if len(terms) == 1 else torch.cat(terms, dim=1), self.mix)
        hidden = functional.silu(torch.addmm(share, x, self.action_weight))
        for layer in self.layers:
            hidden = functional.silu(layer(hidden))
        tensors[self.evaluation.name] = x
        tensors[self.evaluation.answer] = functional.hardsigmoid(torch.addmm(x, hidden, self.head_weight))
