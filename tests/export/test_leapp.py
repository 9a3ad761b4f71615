"""The real LEAPP loader takes the bundle as it is and does what our runtime does."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
import torch

from divo_export.reference import sample_observations
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.bundle.ports import leapp_feeds
from divo_train.data.minari import load_minari

pytest.importorskip("leapp", reason="leapp needs Python 3.11: pip install 'divo[leapp]'")


@pytest.fixture
def manager(exported):
    """The bundle in LEAPP's own loader."""
    from leapp import InferenceManager

    _, bundle = exported
    return InferenceManager(str(bundle.folder / "arm_reach.yaml"))


def test_leapp_s_inference_manager_gives_the_same_action(exported, manager, arm_dataset):
    _, bundle = exported
    contract = bundle.contract
    terms = ["joint_position", "joint_velocity", "tool_position", "goal_offset", "post_offset"]
    assert manager.inputs == [f"policy/{name}" for name in [*terms, "noise"]]
    assert manager.outputs == ["policy/action"]
    rng = np.random.default_rng(0)
    with load_bundle(bundle.folder) as opened:
        policy = opened.open_policy("actor")
        for observation in sample_observations(load_minari(arm_dataset), 50, seed=1):
            noise = rng.standard_normal(policy.noise_shape, dtype=np.float32)
            feeds = leapp_feeds(contract, observation, noise)
            answer = manager.run_policy({f"policy/{name}": torch.tensor(value) for name, value in feeds.items()})
            expected = policy.act(observation, noise).action
            np.testing.assert_allclose(answer["policy/action"].numpy()[0], expected, rtol=0, atol=1e-6)


def test_leapp_s_loader_refuses_a_changed_network(exported, tmp_path):
    from leapp import InferenceManager

    _, bundle = exported
    folder = tmp_path / "b"
    shutil.copytree(bundle.folder, folder)
    model = onnx.load(folder / "policy.onnx")
    model.doc_string = "changed"
    onnx.save(model, folder / "policy.onnx")
    with pytest.raises(ValueError, match="SHA256"):
        InferenceManager(str(folder / "arm_reach.yaml"))


def test_what_isaac_ros_deploy_stumbles_over_is_not_there(exported):
    """Source: isaac_deploy_core 4.5, config_parser.cpp, input_term.cpp, output_term.cpp."""
    _, bundle = exported
    manifest = bundle.manifest
    (model,) = manifest.models.values()  # its ros2_control runtime takes exactly one
    for port in (*model.inputs, *model.outputs):
        assert port.shape[0] == 1  # a batch dimension first
        assert port.kind  # the default source of a port is its kind
        for names in port.element_names or ():  # each entry is cast to a list of strings
            assert isinstance(names, tuple)
    assert manifest.pipeline.feedback_flow == {}  # 4.5 reads another key for feedback; there is none
    assert model.parameters.opset_version >= 17
    graph = onnx.load(bundle.folder / "policy.onnx").graph
    assert [value.name for value in graph.input] == [port.name for port in model.inputs]
    assert not [tensor for tensor in graph.initializer if tensor.external_data]  # one file is the whole network
