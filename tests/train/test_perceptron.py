"""The training's own perceptrons: numbers worked out by hand, and the layers as written in `networks`."""

from __future__ import annotations

import math

import pytest
import torch
from torch.func import vmap

from divo_train.networks import Denoiser, OneStepActor, QEnsemble, Regressor, Value
from divo_train.perceptron import Form, perceptron
from divo_train.products import has_onednn, prefers_onednn, product

RELU = Form("relu")


def leaf(numbers):
    return torch.tensor(numbers, requires_grad=True)


def test_a_network_of_one_unit_gives_the_gradients_of_the_chain_rule():
    # relu(3 * 2 - 1) = 5; 0.5 * 5 + 1 = 3.5
    x, weights, biases = leaf([[2.0]]), [leaf([[3.0]]), leaf([[0.5]])], [leaf([-1.0]), leaf([1.0])]
    out = perceptron(x, weights, biases, RELU)
    assert out.tolist() == [[3.5]]
    (4 * out).sum().backward()
    assert [weight.grad.item() for weight in weights] == [4 * 0.5 * 2.0, 4 * 5.0]
    assert [bias.grad.item() for bias in biases] == [4 * 0.5, 4.0]
    assert x.grad.item() == 4 * 0.5 * 3.0


def test_a_unit_that_is_off_passes_no_gradient_to_what_lies_before_it():
    x, weights, biases = leaf([[2.0]]), [leaf([[-3.0]]), leaf([[0.5]])], [leaf([1.0]), leaf([1.0])]
    perceptron(x, weights, biases, RELU).sum().backward()
    assert weights[0].grad.item() == biases[0].grad.item() == x.grad.item() == weights[1].grad.item() == 0.0
    assert biases[1].grad.item() == 1.0


def test_members_answer_on_their_own_and_their_gradients_by_the_input_add_up():
    # First member 2 * 1 * 10 = 20, second 2 * 4 * 100 = 800.
    x = leaf([[2.0]])
    weights = [leaf([[[1.0]], [[4.0]]]), leaf([[[10.0]], [[100.0]]])]
    out = perceptron(x, weights, [torch.zeros(2, 1, 1)] * 2, RELU)
    assert out.tolist() == [[[20.0]], [[800.0]]]
    (out * torch.tensor([1.0, 0.5]).view(2, 1, 1)).sum().backward()
    assert weights[0].grad.flatten().tolist() == [2.0 * 10, 0.5 * 2 * 100]
    assert weights[1].grad.flatten().tolist() == [2.0, 0.5 * 8]
    assert x.grad.item() == 10 + 0.5 * 400


def test_the_hidden_layer_is_normalised_over_its_units():
    # Products 1 and 5: mean 3, deviation 2, so -1 and 1, of which ReLU leaves the second.
    out = perceptron(
        torch.ones(1, 1),
        [torch.tensor([[1.0, 5.0]]), torch.tensor([[7.0], [11.0]])],
        [torch.zeros(2), torch.zeros(1)],
        Form("relu", layer_norm=True),
    )
    assert out.item() == pytest.approx(11.0, rel=1e-5)


def test_an_input_that_awaits_its_activation_gets_it_and_weights_may_lie_transposed():
    # silu(1) = 1 / (1 + e^-1)
    form = Form("silu", transposed=True, activates_input=True)
    x = leaf([[1.0, 0.0]])
    out = perceptron(x, [torch.tensor([[2.0, 5.0], [3.0, 5.0]])[:1]], [torch.zeros(1)], form)
    sigmoid = 1 / (1 + math.exp(-1))
    assert out.item() == pytest.approx(2 * sigmoid)
    out.sum().backward()
    assert x.grad[0].tolist() == pytest.approx([2 * (sigmoid + sigmoid * (1 - sigmoid)), 5 * 0.5])


@pytest.mark.parametrize("seeds", [1, 3])
def test_every_network_learns_as_its_layers_written_out(seeds):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator)

    observation, action = drawn(40, 5), drawn(40, 3).requires_grad_()
    for network, inputs in (
        (QEnsemble(5, 3, 32, 3, 4), (observation, action)),
        (QEnsemble(5, 3, 32, 2, 2, layer_norm=False), (observation, action)),
        (Value(5, 32, 2), (observation,)),
        (Regressor(5, 3, 32, 3), (observation,)),
        (Regressor(5, 3, 32, 2, "relu"), (observation,)),
        (OneStepActor(5, 3, 32, 2), (observation, action)),
        (Denoiser(5, 3, 32, 2, 0.5), (action, drawn(40).exp(), observation)),
    ):
        own = [one for one in (*network.parameters(), *inputs) if one.requires_grad]
        out = network.eval()(*inputs)
        loss_weights = drawn(*out.shape)
        expected = (out, *torch.autograd.grad((out * loss_weights).sum(), own))
        network.train()
        if seeds == 1:
            got = network(*inputs)
        else:
            several = [one.expand(seeds, *one.shape) for one in inputs]
            got = vmap(network)(*several)[1]
        for one, other in zip((got, *torch.autograd.grad((got * loss_weights).sum(), own)), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_gradients_agree_with_differences_in_double_precision():
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    weights, biases = [drawn(2, 3, 4), drawn(2, 4, 4), drawn(2, 4, 1)], [drawn(2, 1, 4), drawn(2, 1, 4), drawn(2, 1, 1)]
    for form in (RELU, Form("relu", layer_norm=True), Form("silu", activates_input=True)):
        torch.autograd.gradcheck(
            lambda x, *all_, f=form: perceptron(x, all_[:3], all_[3:], f), (drawn(5, 3), *weights, *biases)
        )


@pytest.mark.parametrize(
    "onednn", [False, pytest.param(True, marks=pytest.mark.skipif(not has_onednn(), reason="no oneDNN"))]
)
@pytest.mark.parametrize("shape", [(2, 2, 2), (40, 24, 33)])
def test_a_product_takes_its_factors_as_they_are_or_transposed(shape, onednn):
    n, k, m = shape
    a, b = torch.arange(n * k).float().view(n, k), torch.arange(k * m).float().view(k, m) - 5
    bias = torch.arange(m).float()
    entry = sum(a[1, i].item() * b[i, 1].item() for i in range(k))
    for left in (a, a.t().contiguous().t()):
        for right in (b, b.t().contiguous().t()):
            assert product(left, right, None, onednn)[1, 1].item() == pytest.approx(entry)
            assert product(left, right, bias, onednn)[1, 1].item() == pytest.approx(entry + 1)


@pytest.mark.skipif(not has_onednn(), reason="torch has no oneDNN on board")
@pytest.mark.parametrize(
    ("said", "onednn"),
    [
        ("vendor_id\t: AuthenticAMD\nflags\t\t: avx2 avx512f\n", True),
        ("vendor_id\t: AuthenticAMD\nflags\t\t: avx2\n", False),
        ("vendor_id\t: GenuineIntel\nflags\t\t: avx2 avx512f\n", False),
    ],
)
def test_onednn_multiplies_where_mkl_leaves_half_of_the_processor_unused(tmp_path, said, onednn):
    processors = tmp_path / "cpuinfo"
    assert not prefers_onednn(processors)  # a system that does not tell
    processors.write_text(said)
    assert prefers_onednn(processors) is onednn


@pytest.mark.parametrize("training", [True, False])
def test_the_first_member_answers_alone_and_its_weights_get_no_gradient(training):
    torch.manual_seed(0)
    q_networks = QEnsemble(2, 2, 8, 2, members=3).train(training)
    observation, action = torch.ones(4, 2), torch.ones(4, 2, requires_grad=True)
    alone, among = q_networks.first(observation, action), q_networks(observation, action)[0]
    torch.testing.assert_close(alone, among)
    torch.testing.assert_close(torch.autograd.grad(alone.sum(), action), torch.autograd.grad(among.sum(), action))
    assert not q_networks.first(observation, action.detach()).requires_grad


@pytest.mark.parametrize("training", [True, False])
def test_the_lowest_members_answer_has_a_gradient_by_the_action_alone(training):
    torch.manual_seed(0)
    q_networks = QEnsemble(2, 2, 8, 2, members=3).train(training)
    observation, action = torch.randn(20, 2), torch.randn(20, 2, requires_grad=True)
    lowest, among = q_networks.lowest(observation, action), q_networks(observation, action)
    assert len(among.argmin(dim=0).unique()) > 1  # no member is the lowest everywhere
    torch.testing.assert_close(lowest, among.min(dim=0).values)
    expected = torch.autograd.grad(among.min(dim=0).values.sum(), action)
    torch.testing.assert_close(torch.autograd.grad(lowest.sum(), action), expected)
    assert not q_networks.lowest(observation, action.detach()).requires_grad
