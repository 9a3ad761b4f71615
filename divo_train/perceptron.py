"""Multi-layer perceptrons on the CPU, forwards and backwards, one member of an ensemble after the other.

A member's activations stay in the core's own cache from layer to layer, and automatic differentiation sees one
operator instead of a dozen; products are `products.product`. The arithmetic is that of the layers as written in
`networks`, which is what runs elsewhere (GPU, export, deployment); `tests/train/test_perceptron.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from divo_train.products import product

EPSILON = 1e-5
"""Of the layer normalisation; torch's default."""

WEIGHT, BIAS = 0, 1

Activation = Literal["relu", "silu"]


@dataclass(frozen=True)
class Form:
    """What a perceptron computes between its products."""

    activation: Activation
    layer_norm: bool = False
    """Whether hidden layers are normalised before a ReLU; no weights of its own."""
    transposed: bool = False
    """Whether weights lie as nn.Linear keeps them, (outputs, inputs)."""
    activates_input: bool = False
    """Whether the input is a first layer that still awaits its activation."""


def perceptron(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], form: Form) -> Tensor:
    """Evaluate one network, or every member of an ensemble on the same input.

    Args:
        x: (B, inputs).
        weights: Of each layer: (inputs, outputs), or (members, inputs, outputs); see `Form.transposed`.
        biases: Of each layer: (outputs,), or (members, 1, outputs).
        form: What happens between the layers.

    Returns:
        (B, outputs) or (members, B, outputs). Differentiable once, by x, weights and biases; under torch.func.vmap
        all of them may have the additional axis.
    """
    function = _SideBySide if torch._C._are_functorch_transforms_active() else _Perceptron
    out: Tensor = function.apply(form, x, *weights, *biases)
    return out


class _Perceptron(torch.autograd.Function):
    """Leading axes of weights are seeds, then members; those of x are seeds."""

    @staticmethod
    def forward(ctx: Any, form: Form, x: Tensor, *parameters: Tensor) -> Tensor:
        members = _members(form, parameters)
        xs = (x,) if x.ndim == 2 else x.unbind()
        each, keeps = len(members) // len(xs), any(ctx.needs_input_grad)
        passes = [_forward(form, xs[number // each], layers) for number, layers in enumerate(members)]
        if keeps:
            ctx.form, ctx.members, ctx.passes, ctx.x_shape = form, members, passes, x.shape
            ctx.shapes = [parameter.shape for parameter in parameters]
        return _stack([one.out for one in passes], (*parameters[WEIGHT].shape[:-2], x.shape[-2], -1))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        _, needs_x, *needs = ctx.needs_input_grad
        gradients = gradient.reshape(-1, *gradient.shape[-2:]).unbind()
        pulled = [
            _backward(ctx.form, layers, one, g, needs_x, any(needs))
            for layers, one, g in zip(ctx.members, ctx.passes, gradients, strict=True)
        ]
        by_x = _sum_members([of_x for of_x, _ in pulled], ctx.x_shape) if needs_x else None
        if not any(needs):
            return None, by_x, *(None for _ in needs)
        by_parameters = zip(*(own for _, own in pulled), strict=True)
        return None, by_x, *(_stack(own, shape) for own, shape in zip(by_parameters, ctx.shapes, strict=True))


class _SideBySide(torch.autograd.Function):
    """The same for what torch.func.vmap passes: it takes the axis of seeds off, and runs it on what lies below."""

    @staticmethod
    def forward(form: Form, x: Tensor, *parameters: Tensor) -> Tensor:
        raise NotImplementedError("Of torch.func's transforms a perceptron knows vmap alone.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        raise NotImplementedError("Of torch.func's transforms a perceptron knows vmap alone.")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], form: Form, *tensors: Tensor) -> tuple[Tensor, int]:
        stacked = [
            tensor.expand(info.batch_size, *tensor.shape) if axis is None else tensor.movedim(axis, 0)
            for tensor, axis in zip(tensors, in_dims[1:], strict=True)
        ]
        return _Perceptron.apply(form, *stacked), 0


_Layer = tuple[Tensor, Tensor]
"""(inputs, outputs) weight, perhaps a transposed view, and (outputs,) bias."""


class _Activation(NamedTuple):
    """What an activation's derivative needs."""

    seen: Tensor
    """(B, width) the layer's product; for a ReLU without normalisation, what came out of it."""
    mean: Tensor | None = None
    scale: Tensor | None = None
    """(B, 1) of the normalisation."""
    after: Tensor | None = None
    """(B, width), where a normalisation lies between the two."""


class _Pass(NamedTuple):
    """One member's forward pass: output, the input of each layer, what each activation's derivative needs."""

    out: Tensor
    inputs: list[Tensor]
    activations: list[_Activation]


def _members(form: Form, parameters: Sequence[Tensor]) -> list[tuple[_Layer, ...]]:
    """Return the layers of each member."""
    depth = len(parameters) // 2
    weights, biases = parameters[:depth], parameters[depth:]
    if form.transposed:
        weights = [weight.mT for weight in weights]
    if weights[0].ndim == 2:
        return [tuple(zip(weights, biases, strict=True))]
    layers = [
        zip(weight.flatten(0, -3).unbind(), bias.reshape(-1, weight.shape[-1]).unbind(), strict=True)
        for weight, bias in zip(weights, biases, strict=True)
    ]
    return list(zip(*layers, strict=True))


def _forward(form: Form, x: Tensor, layers: tuple[_Layer, ...]) -> _Pass:
    """Evaluate one member."""
    inputs: list[Tensor] = []
    activations: list[_Activation] = []
    hidden = x
    for number, (weight, bias) in enumerate(layers):
        if number or form.activates_input:
            hidden, activation = _activate(form, hidden, own=number > 0)
            activations.append(activation)
        inputs.append(hidden)
        hidden = product(hidden, weight, bias)
    return _Pass(hidden, inputs, activations)


def _backward(
    form: Form, layers: tuple[_Layer, ...], seen: _Pass, g: Tensor, needs_x: bool, needs_parameters: bool
) -> tuple[Tensor, list[Tensor]]:
    """Return one member's gradient by x, and those by its weights and then its biases."""
    of_weights, of_biases, left = [], [], list(seen.activations)
    for (weight, _), x in zip(reversed(layers), reversed(seen.inputs), strict=True):
        if needs_parameters:
            of_weights.append(product(g.t(), x) if form.transposed else product(x.t(), g))
            of_biases.append(g.sum(0))
        if needs_x or x is not seen.inputs[0]:
            g = product(g, weight.t())
            g = _pull_back(form, left.pop(), g) if left else g
    return g, of_weights[::-1] + of_biases[::-1]


def _activate(form: Form, x: Tensor, own: bool) -> tuple[Tensor, _Activation]:
    """Normalise and activate a layer's product; `own` says that it may be overwritten."""
    if form.activation == "silu":
        return functional.silu(x), _Activation(x)
    if form.layer_norm:  # in steps, because torch's own takes twice as long when it is not to be differentiated
        mean = x.mean(-1, keepdim=True)
        centred = x - mean
        length = torch.linalg.vector_norm(centred, dim=-1, keepdim=True)
        scale = (length.square_().div_(x.shape[-1]).add_(EPSILON)).rsqrt_()
        after = centred.mul_(scale).relu_()
        return after, _Activation(x, mean, scale, after)
    after = x.relu_() if own else x.relu()
    return after, _Activation(after)


def _pull_back(form: Form, activation: _Activation, g: Tensor) -> Tensor:
    """Turn the gradient by what `_activate` returned into that by what it was given."""
    seen, mean, scale, after = activation
    if form.activation == "silu":
        return torch.ops.aten.silu_backward(g, seen)
    if after is None:
        return torch.ops.aten.threshold_backward(g, seen, 0)
    g = torch.ops.aten.threshold_backward(g, after, 0)
    normalised = torch.ops.aten.native_layer_norm_backward
    return normalised(g, seen, seen.shape[-1:], mean, scale, None, None, (True, False, False))[0]


def _stack(tensors: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    return (tensors[0] if len(tensors) == 1 else torch.stack(tuple(tensors))).view(shape)


def _sum_members(gradients: list[Tensor], shape: torch.Size) -> Tensor:
    """Return the gradient by x: the sum over the members that were given the same x."""
    each = len(gradients) // shape[:-2].numel()
    sums = [sum(gradients[i + 1 : i + each], gradients[i]) for i in range(0, len(gradients), each)]
    return _stack(sums, shape)
