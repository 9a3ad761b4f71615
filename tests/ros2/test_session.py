"""What `configure` opens: one policy, or for `auto` all among which the time decides."""

from __future__ import annotations

import msgspec
import pytest

pytest.importorskip("rclpy")

from divo_controller.parameters import Parameters
from divo_controller.session import open_session, policy_names
from divo_runtime.bundle.loading import Bundle, load_bundle
from divo_runtime.bundle.manifest import PolicySettings
from divo_runtime.errors import BundleError
from divo_runtime.timing.deadline import DeadlinePolicy


def test_auto_orders_the_actor_before_the_samplers_by_steps_and_leaves_other_precisions_out(bundle):
    manifest = load_bundle(bundle).manifest
    policies = {
        "sampler": PolicySettings(kind="sampler", candidates=4, steps=5),
        "sampler_k2": PolicySettings(kind="sampler", candidates=4, steps=2),
        "sampler_k2_wide": PolicySettings(kind="sampler", candidates=16, steps=2),
        "sampler_int8": PolicySettings(kind="sampler", candidates=4, steps=1, precision="int8"),
        "actor": PolicySettings(kind="actor", candidates=1, steps=1),
    }
    extras = msgspec.structs.replace(manifest.x_divo, policies=policies)
    many = Bundle(bundle, msgspec.structs.replace(manifest, x_divo=extras))

    assert policy_names(many, "auto") == ("actor", "sampler_k2", "sampler_k2_wide", "sampler")
    assert policy_names(many, "sampler_k2") == ("sampler_k2",)


def test_one_policy_is_opened_warmed_up_and_timed(bundle):
    session = open_session(Parameters(bundle=str(bundle), policy="sampler"))

    assert session.policies == ("sampler",)
    assert session.policy_name == "sampler"
    assert 0.0 < session.median_ms["sampler"] <= session.p99_ms["sampler"]
    assert session.p99_now_ms == session.p99_ms
    session.close()


def test_auto_opens_all_and_begins_with_the_best(bundle):
    session = open_session(Parameters(bundle=str(bundle), policy="auto"))

    assert isinstance(session.policy, DeadlinePolicy)
    assert session.policies == ("actor", "sampler")
    assert session.policy.noise_shape == (4, 2)
    assert (session.policy_name, session.switches) == ("sampler", 0)
    session.close()


def test_a_policy_that_the_bundle_lacks_is_refused_with_the_choices(bundle):
    with pytest.raises(BundleError, match="one of actor, sampler"):
        open_session(Parameters(bundle=str(bundle), policy="magic"))
