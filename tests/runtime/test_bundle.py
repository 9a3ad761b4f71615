import shutil

import msgspec
import numpy as np
import onnx
import pytest
import yaml

from divo_runtime.bundle.loading import load_bundle
from divo_runtime.bundle.manifest import file_hash, read_manifest
from divo_runtime.bundle.manifest_writing import write_manifest
from divo_runtime.errors import BundleError

replace = msgspec.structs.replace


@pytest.fixture
def folder(write_tiny_bundle, tmp_path, arm):
    return write_tiny_bundle(tmp_path, arm, (0.5, -0.25))


@pytest.fixture
def edit(folder):
    """Return a function that changes the manifest's data in place and writes it back."""

    def edit(change):
        path = folder / "two_joints.yaml"
        data = yaml.safe_load(path.read_text())
        change(data)
        path.write_text(yaml.safe_dump(data, sort_keys=False))

    return edit


@pytest.fixture
def swap(folder, edit):
    """Return a function that replaces a network's file and all its hashes, as a careless export would."""

    def swap(role, model):
        file = folder / f"{role}.onnx"
        file.write_bytes(model.SerializeToString())

        def rehash(data):
            data["x-divo"]["files"][file.name] = file_hash(file, "sha256")
            data["x-divo"]["networks"][role]["parameters"] |= {
                "sha256sum": file_hash(file, "sha256"),
                "md5sum": file_hash(file, "md5"),
            }

        edit(rehash)

    return swap


def refusal(folder):
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    error = caught.value
    assert error.where
    assert error.got
    assert error.expected
    assert error.fix
    return error


def test_a_bundle_opens_and_acts(folder, arm):
    with load_bundle(folder) as bundle:
        assert bundle.contract == arm
        for kind in ("actor", "sampler"):
            policy = bundle.open_policy(kind)
            chosen = policy.act(bundle.typical_observation, np.zeros(policy.noise_shape, np.float32))
            np.testing.assert_array_equal(chosen.action, np.float32([0.5, -0.25]))
        critic = bundle.open_network("critic")
        feeds = {"observation": np.zeros((1, 4), np.float32), "action": np.float32([[2, 1]])}
        np.testing.assert_array_equal(critic.run(feeds)["q"], [-5, -5])


def test_a_bundle_can_be_moved(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "elsewhere")
    load_bundle(tmp_path / "elsewhere").close()


def test_closing_a_bundle_closes_its_networks(folder):
    bundle = load_bundle(folder)
    policy = bundle.open_policy("actor")
    bundle.close()
    with pytest.raises(Exception, match="closed"):
        policy.act(np.zeros(4, np.float32), np.zeros((1, 2), np.float32))


def test_an_engine_built_on_the_robot_is_no_intruder(folder):
    (folder / "engines").mkdir()
    (folder / "engines" / "actor.plan").write_bytes(b"built here")
    load_bundle(folder)


def test_no_folder(tmp_path):
    assert "nothing" in refusal(tmp_path / "none").got


def test_no_manifest(folder):
    (folder / "two_joints.yaml").unlink()
    assert "no *.yaml" in refusal(folder).got


def test_two_manifests(folder):
    shutil.copy(folder / "two_joints.yaml", folder / "other.yaml")
    assert refusal(folder).got == "other.yaml, two_joints.yaml"


def test_a_manifest_under_another_name(folder):
    (folder / "two_joints.yaml").rename(folder / "other.yaml")
    assert refusal(folder).expected == "two_joints.yaml"


@pytest.mark.parametrize(
    ("version", "what"), [(3, "newer schema"), (0, "does not say"), ("2", "does not say"), (True, "does not say")]
)
def test_an_unknown_schema(folder, edit, version, what):
    edit(lambda data: data["x-divo"].update(schema=version, invented_later=1))
    error = refusal(folder)
    assert what in error.what
    assert "x-divo.schema" in error.where
    assert error.got == repr(version)
    assert error.expected.startswith("a number from 1 to 2")
    assert "Install the version of divo that wrote it" in error.fix


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "x-divo: 3"])
def test_a_manifest_that_is_none(folder, text):
    (folder / "two_joints.yaml").write_text(text)
    with pytest.raises(BundleError, match=r"two_joints\.yaml"):
        load_bundle(folder)


def test_a_contract_that_does_not_validate(folder, edit):
    edit(lambda data: data["x-divo"]["contract"]["action"].update(unit="m"))
    error = refusal(folder)
    assert "key 'x-divo.contract.action'" in error.where
    assert "rad/s" in error.expected
    assert "not to be edited" in error.fix


def test_an_unknown_key_in_the_manifest(folder, edit):
    edit(lambda data: data["x-divo"].update(surprise=1))
    assert "surprise" in refusal(folder).got


@pytest.mark.parametrize("name", ["actor.onnx", "parity.json"])
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    assert refusal(folder).where.endswith(name)


@pytest.mark.parametrize("name", ["sampler.onnx", "parity.json"])
def test_a_changed_file(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    error = refusal(folder)
    assert error.where.endswith(name)
    assert error.got.startswith("sha256 ")


def test_swapped_networks(folder):
    actor, sampler = folder / "actor.onnx", folder / "sampler.onnx"
    content = actor.read_bytes()
    shutil.copy(sampler, actor)
    sampler.write_bytes(content)
    assert "changed" in str(refusal(folder))


@pytest.mark.parametrize("name", ["old_actor.onnx", "backup/actor.onnx"])
def test_an_undeclared_network(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    shutil.copy(folder / "actor.onnx", folder / name)
    assert refusal(folder).got == name


def test_a_file_outside_of_the_bundle(folder, edit):
    edit(lambda data: data["x-divo"]["files"].update({"../secret": "0" * 64}))
    assert refusal(folder).got == "../secret"


def test_a_model_whose_file_is_not_declared(folder, edit):
    edit(lambda data: data["x-divo"]["networks"]["actor"]["parameters"].update(model_path="actor2.onnx"))
    assert "actor2.onnx" in refusal(folder).got


@pytest.mark.parametrize("key", ["md5sum", "sha256sum"])
def test_a_hash_that_contradicts_the_other(folder, edit, key):
    edit(lambda data: data["x-divo"]["networks"]["actor"]["parameters"].update({key: "0" * 32}))
    assert "x-divo.networks.actor" in refusal(folder).where


def test_a_hash_for_leapp_loaders_that_is_not_the_file_s(folder, edit):
    edit(lambda data: data["models"]["policy"]["parameters"].update(md5sum="0" * 32))
    assert "models.policy" in refusal(folder).where


def test_a_policy_without_its_network(folder, edit):
    edit(lambda data: data["x-divo"]["networks"].pop("actor"))
    assert "networks critic, sampler; policies actor, sampler" in refusal(folder).got


def test_a_network_of_ours_among_those_for_leapp_loaders(folder, edit):
    edit(lambda data: data["models"].update(critic=data["x-divo"]["networks"]["critic"]))
    error = refusal(folder)
    assert error.got == "critic"
    assert "only 'policy'" in error.expected


def test_a_port_that_the_contract_does_not_have(folder, edit):
    edit(lambda data: data["x-divo"]["networks"]["actor"]["inputs"][0].update(shape=[1, 5]))
    error = refusal(folder)
    assert "x-divo.networks.actor" in error.where
    assert "observation float32[1, 5]" in error.got
    assert "observation float32[1, 4]" in error.expected


def test_a_graph_that_the_manifest_does_not_describe(folder, swap):
    model = onnx.load(folder / "actor.onnx")
    model.graph.output[1].name = "q"
    swap("actor", model)
    error = refusal(folder)
    assert error.where.endswith("actor.onnx")
    assert "q float32[1]" in error.got


def test_a_graph_of_another_number_of_candidates(folder, edit):
    edit(lambda data: data["x-divo"]["policies"]["sampler"].update(candidates=8))
    assert "noise float32[8, 2]" in refusal(folder).expected


def test_a_file_that_is_no_graph(folder, swap):
    class Text:
        def SerializeToString(self):  # noqa: N802
            return b"not a graph"

    swap("actor", Text())
    assert "no ONNX graph" in str(refusal(folder))


def test_a_truncated_network(folder):
    data = (folder / "sampler.onnx").read_bytes()
    (folder / "sampler.onnx").write_bytes(data[: len(data) // 2])
    error = refusal(folder)
    assert error.where.endswith("sampler.onnx")
    assert "changed since its export" in error.what


def test_a_truncated_network_with_matching_hashes(folder, swap):
    data = (folder / "sampler.onnx").read_bytes()

    class Half:
        def SerializeToString(self):  # noqa: N802
            return data[: len(data) // 2]

    swap("sampler", Half())
    assert "no ONNX graph" in str(refusal(folder))


@pytest.mark.parametrize(
    ("key", "value", "got"), [("mean", float("nan"), "nan"), ("maximum", float("inf"), "inf"), ("std", -1.0, "-1.0")]
)
def test_a_statistic_that_is_no_number(folder, edit, key, value, got):
    edit(lambda data: data["x-divo"]["statistics"]["observation"][key].__setitem__(2, value))
    error = refusal(folder)
    assert error.where.endswith(f"key 'x-divo.statistics.observation.{key}', element 'goal.x'")
    assert error.got == got
    assert "NaN" in error.fix


def test_statistics_of_another_size(folder, edit):
    edit(lambda data: data["x-divo"]["statistics"]["action"].update(mean=[0.0]))
    assert refusal(folder).expected == "2 values"


def test_a_rate_that_contradicts_the_contract(folder, edit):
    edit(lambda data: data["pipeline"]["configs"].update(frequency=20.0))
    assert (refusal(folder).got, refusal(folder).expected) == ("20 Hz", "10 Hz")


def test_a_policy_that_is_not_there_is_told_with_the_choices(folder):
    with pytest.raises(BundleError, match="one of actor, sampler"):
        load_bundle(folder).open_policy("teacher")


def test_a_manifest_keeps_every_digit(folder):
    path = folder / "two_joints.yaml"
    manifest = read_manifest(path)
    awkward = (0.1 + 0.2, 1e-300, float(np.float32(0.1)), -1.7976931348623157e308)
    moments = replace(manifest.x_divo.statistics.observation, mean=awkward)
    statistics = replace(manifest.x_divo.statistics, observation=moments)
    provenance = replace(
        manifest.x_divo.provenance, created="2026-01-02T03:04:05Z", dataset="1e3", git_commit="0123456"
    )
    changed = replace(manifest, x_divo=replace(manifest.x_divo, statistics=statistics, provenance=provenance))
    write_manifest(path, changed)
    assert read_manifest(path) == changed
