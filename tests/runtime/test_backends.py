import sys

import numpy as np
import pytest

from divo_runtime.backends import OPENERS, available_kinds, find_obstacle, open_backend
from divo_runtime.backends.fake import FakeBackend
from divo_runtime.conformance import check_backend, check_policy
from divo_runtime.errors import BackendError
from divo_runtime.interfaces import TensorSpec
from divo_runtime.policy import NetworkPolicy, warm_up

X, Y = TensorSpec("x", (1, 2)), TensorSpec("y", (3,))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def bundle(write_tiny_bundle, tmp_path, arm):
    return write_tiny_bundle(tmp_path, arm, 0.5, noise_gain=0.1)


@pytest.mark.parametrize("name", ["actor", "sampler", "critic"])
@pytest.mark.parametrize("kind", [kind for kind in available_kinds() if not kind.startswith("tensorrt")])
def test_every_engine_of_this_machine_keeps_the_rules_on_every_network(bundle, rng, kind, name):
    check_backend(open_backend(bundle / f"{name}.onnx", kind), rng)


def test_every_kind_is_available_or_says_what_the_machine_lacks():
    assert "onnxruntime" in available_kinds()
    for kind in OPENERS:
        obstacle = find_obstacle(kind)
        assert (obstacle is None) == (kind in available_kinds())
        assert obstacle is None or (obstacle.what and obstacle.fix)


def test_the_fake_keeps_the_rules_too(rng):
    check_backend(FakeBackend([X], [Y], [{"y": np.zeros(3)}]), rng)


class Liar(FakeBackend):
    """A backend that breaks one rule."""

    def __init__(self, breach):
        super().__init__([X], [Y], [{"y": np.zeros(3)}])
        self.breach = breach
        self.shared = np.zeros(3, np.float32)

    def run(self, feeds):
        if self.breach == "accepts anything":
            return {"y": np.zeros(3, np.float32)}
        result = super().run(feeds)
        if self.breach == "changes feeds":
            feeds["x"][0, 0] = 9
        elif self.breach == "differs":
            result["y"] += len(self.feeds)
        elif self.breach == "reads memory as it lies" and not feeds["x"].flags.c_contiguous:
            result["y"] += 1
        elif self.breach == "reuses":
            self.shared += len(self.feeds) > 2
            return {"y": self.shared}
        elif self.breach == "names":
            return {"z": result["y"]}
        elif self.breach == "dtype":
            return {"y": result["y"].astype(np.float64)}
        return result

    def close(self):
        if self.breach != "stays open":
            super().close()


@pytest.mark.parametrize(
    ("breach", "duty"),
    [
        ("accepts anything", "refuse"),
        ("changes feeds", "leave the feeds alone"),
        ("differs", "the same outputs"),
        ("reuses", "leave returned arrays alone"),
        ("reads memory as it lies", "not contiguous"),
        ("names", "give y"),
        ("dtype", "give y"),
        ("stays open", "once closed"),
    ],
)
def test_the_conformance_check_catches_each_breach(rng, breach, duty):
    with pytest.raises(BackendError, match=duty):
        check_backend(Liar(breach), rng)


def test_policies_of_a_bundle_keep_the_rules(bundle, arm, rng):
    for name in ("actor", "sampler"):
        policy = NetworkPolicy(open_backend(bundle / f"{name}.onnx"), arm)
        check_policy(policy, np.zeros(4, np.float32), rng)


def test_the_policy_check_catches_an_action_that_is_not_finite(arm, script_policy, rng):
    with pytest.raises(BackendError, match="finite"):
        check_policy(script_policy(arm, np.nan), np.zeros(4, np.float32), rng)


def test_the_sampler_gives_the_candidate_of_highest_value(bundle, arm):
    policy = NetworkPolicy(open_backend(bundle / "sampler.onnx"), arm)
    noise = np.float32([[3, 0], [1, -2], [2, 2], [4, 4]])  # values -9, -5, -8, -32: the second is chosen
    chosen = policy.act(np.zeros(4, np.float32), noise)
    np.testing.assert_allclose(chosen.action, [0.6, 0.3], rtol=1e-6)
    assert chosen.value == -5.0


def test_a_network_for_another_contract_is_refused(bundle, base):
    with pytest.raises(BackendError, match="not a policy for this contract"):
        NetworkPolicy(open_backend(bundle / "actor.onnx"), base)


def test_warm_up_refuses_a_policy_without_a_finite_action(arm, script_policy, rng):
    warm_up(script_policy(arm, 0.1), np.zeros(4, np.float32), rng, calls=3)
    with pytest.raises(BackendError, match="finite action"):
        warm_up(script_policy(arm, np.nan), np.zeros(4, np.float32), rng, calls=3)


def test_wrong_feeds_are_told_with_what_was_expected(bundle):
    network = open_backend(bundle / "critic.onnx")
    with pytest.raises(BackendError) as caught:
        network.run({"observation": np.zeros((1, 4), np.float32), "action": np.zeros(2, np.float32)})
    assert "action float32[2]" in caught.value.got
    assert "action float32[1, 2]" in caught.value.expected


@pytest.mark.parametrize(
    ("kind", "threads", "message"), [("tensorflow", 1, "one of onnxruntime"), ("onnxruntime", 0, ">= 1")]
)
def test_an_unknown_engine_or_no_thread_is_told_with_the_choices(bundle, kind, threads, message):
    with pytest.raises(BackendError, match=message):
        open_backend(bundle / "actor.onnx", kind, threads)


def test_a_file_that_is_no_graph_is_told_by_name(tmp_path):
    (tmp_path / "actor.onnx").write_bytes(b"not a graph")
    with pytest.raises(BackendError, match=r"actor\.onnx"):
        open_backend(tmp_path / "actor.onnx")


def test_a_missing_onnxruntime_is_told_with_the_command_that_installs_it(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"pip install 'divo\[ort\]'"):
        open_backend(bundle / "actor.onnx")
