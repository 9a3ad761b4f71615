"""What other stacks read in the manifest, and manifests of older schemas."""

import shutil

import msgspec
import numpy as np
import pytest
import yaml

from divo_runtime.bundle.loading import load_bundle
from divo_runtime.bundle.manifest import file_hash
from divo_runtime.bundle.ports import leapp_feeds, leapp_ports
from divo_runtime.contract import ObservationTerm
from divo_runtime.errors import BundleError


@pytest.fixture
def folder(write_tiny_bundle, tmp_path, arm):
    return write_tiny_bundle(tmp_path, arm, (0.5, -0.25))


@pytest.fixture
def data(folder):
    return yaml.safe_load((folder / "two_joints.yaml").read_text())


def test_leapp_loaders_see_one_network_with_one_input_per_term(data):
    assert {"models", "pipeline", "system information"} <= set(data)
    assert data["system information"]["leapp config version"] == "1.3"
    assert list(data["models"]) == ["policy"]
    model = data["models"]["policy"]
    assert model["parameters"]["backend"] == "onnx"
    assert model["parameters"]["model_path"] == "policy.onnx"
    assert len(model["parameters"]["md5sum"]) == 32
    assert len(model["parameters"]["sha256sum"]) == 64
    ports = {
        port["name"]: (port["kind"], port["shape"], port.get("element_names"))
        for port in model["inputs"] + model["outputs"]
    }
    assert ports == {
        "joint_position": ("state/joint/position", [1, 2], [[], ["a", "b"]]),
        "goal": ("state/goal", [1, 2], [[], ["x", "y"]]),
        "noise": ("input/noise", [1, 1, 2], None),
        "action": ("target/joint/velocity", [1, 2], [[], ["a", "b"]]),
    }
    assert all(port["type"] == "tensor" and port["dtype"] == "float32" for port in model["inputs"] + model["outputs"])
    assert data["pipeline"] == {
        "inputs": {"policy": ["joint_position", "goal", "noise"]},
        "outputs": {"policy": ["action"]},  # every output is routed
        "data_flow": {},
        "feedback_flow": {},
        "configs": {"frequency": 10.0},
    }


def test_the_yaml_has_no_anchors_which_some_readers_do_not_know(folder):
    text = (folder / "two_joints.yaml").read_text()
    assert not [token for token in yaml.scan(text) if isinstance(token, yaml.AnchorToken | yaml.AliasToken)]


def test_an_observation_is_cut_into_the_terms_of_the_contract(arm):
    feeds = leapp_feeds(arm, np.float32([1, 2, 3, 4]), np.float32([[5, 6]]))
    expected = {"joint_position": [[1, 2]], "goal": [[3, 4]], "noise": [[[5, 6]]]}
    assert {name: array.tolist() for name, array in feeds.items()} == expected
    inputs, _ = leapp_ports(arm, 1)
    assert [port.spec.shape for port in inputs] == [array.shape for array in feeds.values()]


def term(name, kind, field, **more):
    return ObservationTerm(name=name, topic=name, type=kind, field=field, unit="1", max_age_ms=1.0, **more)


@pytest.mark.parametrize(
    ("observed", "kind"),
    [
        (term("v", "sensor_msgs/msg/JointState", "velocity", joints=("a",)), "state/joint/velocity"),
        (term("o", "sensor_msgs/msg/Imu", "orientation"), "state/body/rotation"),
        (term("p", "geometry_msgs/msg/PoseStamped", "pose.position"), "state/body/position"),
        (term("xy", "geometry_msgs/msg/PoseStamped", "pose.position", components="xy"), "state/xy"),
        (term("d", "geometry_msgs/msg/PointStamped", "point", relative_to="p"), "state/vector3d"),
        (term("s", "sensor_msgs/msg/LaserScan", "ranges", size=9), "state/s"),
    ],
)
def test_leapp_s_kinds_are_only_used_for_what_they_mean(arm, observed, kind):
    terms = (term("p", "geometry_msgs/msg/PoseStamped", "pose.position"), *arm.observation)
    terms = (*(t for t in terms if t.name != observed.name), observed)
    contract = msgspec.structs.replace(arm, observation=terms)
    inputs, _ = leapp_ports(contract, 1)
    assert inputs[-2].kind == kind


@pytest.mark.parametrize("name", ["noise", "action"])
def test_a_term_does_not_take_the_name_of_another_tensor(arm, name):
    extra = term(name, "std_msgs/msg/Float64MultiArray", "data", size=2)
    inputs, outputs = leapp_ports(msgspec.structs.replace(arm, observation=(*arm.observation, extra)), 1)
    names = [port.name for port in (*inputs, *outputs)]
    assert f"{name}_in" in names
    assert len(set(names)) == len(names)


def test_a_bundle_of_schema_1_still_opens_and_acts(folder, data):
    extras = data["x-divo"]
    extras["schema"] = 1
    data["models"] = extras.pop("networks")
    data["pipeline"]["inputs"] = {name: [port["name"] for port in m["inputs"]] for name, m in data["models"].items()}
    data["pipeline"]["outputs"] = {name: [port["name"] for port in m["outputs"]] for name, m in data["models"].items()}
    for settings in extras["policies"].values():
        del settings["kind"], settings["precision"]
    (folder / "two_joints.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    with load_bundle(folder) as bundle:
        assert {name: chosen.kind for name, chosen in bundle.manifest.x_divo.policies.items()} == {
            "actor": "actor",
            "sampler": "sampler",
        }
        policy = bundle.open_policy("sampler")
        chosen = policy.act(np.zeros(4, np.float32), np.zeros(policy.noise_shape, np.float32))
        np.testing.assert_array_equal(chosen.action, np.float32([0.5, -0.25]))
        assert bundle.open_network("critic").outputs[0].name == "q"


def test_policies_have_free_names_and_an_own_network_each(folder, data):
    shutil.copy(folder / "sampler.onnx", folder / "sampler_k2.onnx")
    extras = data["x-divo"]
    extras["policies"]["sampler_k2"] = {**extras["policies"]["sampler"], "steps": 2}
    parameters = {**extras["networks"]["sampler"]["parameters"], "model_path": "sampler_k2.onnx"}
    extras["networks"]["sampler_k2"] = {**extras["networks"]["sampler"], "parameters": parameters}
    extras["files"]["sampler_k2.onnx"] = extras["files"]["sampler.onnx"]
    (folder / "two_joints.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    with load_bundle(folder) as bundle:
        assert list(bundle.manifest.x_divo.policies) == ["actor", "sampler", "sampler_k2"]
        assert bundle.manifest.x_divo.policies["sampler_k2"].steps == 2
        assert bundle.open_policy("sampler_k2").noise_shape == (4, 2)


def test_a_file_that_cannot_be_read_is_an_error_of_the_bundle(tmp_path):
    with pytest.raises(BundleError, match="cannot be read"):
        file_hash(tmp_path, "sha256")
