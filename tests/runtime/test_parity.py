"""The judgement on parity, with numbers worked out by hand, and the check of a real bundle without torch."""

import msgspec
import numpy as np
import pytest

from divo_runtime.bundle.loading import load_bundle
from divo_runtime.bundle.manifest import file_hash, read_manifest
from divo_runtime.bundle.manifest_writing import write_manifest
from divo_runtime.errors import BundleError
from divo_runtime.parity.check import check_bundle
from divo_runtime.parity.judgement import Answers, ParityError, compare_critic, compare_policy, require_parity
from divo_runtime.parity.sample import ParitySample, Reference, draw_actions, draw_noise, read_sample, write_sample

LABELS = ("sampler", "onnxruntime", "float32")
FIX = "mend it"
NOISE_OF_SEED_7 = (-0.30051863193511963, 0.32632744312286377, 0.7123622298240662, 0.7472270131111145)


@pytest.fixture
def sample():
    """Two observations of the arm (obs_dim 4), two candidates each; the second candidate is the better one."""
    return ParitySample(np.float32([[1, 2, 3, 4], [5, 6, 7, 8]]), seed=0)


@pytest.fixture
def reference():
    candidates = np.float32([[[0.1, 0.2], [0.3, 0.4]], [[-0.1, -0.2], [-0.3, -0.4]]])
    return Reference(candidates[:, 1], np.float32([[0, 1], [0, 2]]), candidates)


def answers(reference, row=1):
    return Answers(reference.candidates[:, row].copy(), reference.value.copy())


def test_equal_answers_have_no_error(arm, sample, reference):
    parity = compare_policy(answers(reference), reference, sample, arm, LABELS)
    assert (parity.worst, parity.p999, parity.worst_of_range) == ((0, 0), (0, 0), (0, 0))
    assert (parity.observations, parity.compared, parity.agreement) == (2, 2, 1)
    assert parity.names == ("a", "b")
    require_parity(parity, FIX)


def test_an_error_is_told_by_element_observation_and_share_of_the_range(arm, sample, reference):
    got = answers(reference)
    got.action[1, 0] += 0.16  # a tenth of the range of 1.6
    parity = compare_policy(got, reference, sample, arm, LABELS)
    np.testing.assert_allclose(parity.worst, (0.16, 0.0), atol=1e-7)
    np.testing.assert_allclose(parity.worst_of_range, (0.1, 0.0), atol=1e-7)
    assert parity.worst_case.index == 1
    assert parity.worst_case.element == "a"
    assert parity.worst_case.observation == (5, 6, 7, 8)
    with pytest.raises(ParityError) as caught:
        require_parity(parity, FIX)
    error = caught.value
    assert error.where == "sampler in onnxruntime (float32), 'a', observation 1: [5, 6, 7, 8]"
    assert error.got == "-0.14, off by 1.00e-01 of its range"
    assert error.expected == "-0.3, within 1e-04 of its range"
    assert error.fix == FIX


def test_another_choice_is_compared_with_the_reference_s_candidate_of_that_choice(arm, sample, reference):
    got = answers(reference, row=0)
    got.value[:] = reference.value[:, ::-1]
    parity = compare_policy(got, reference, sample, arm, LABELS)
    assert parity.worst == (0, 0)  # the numbers of the candidate are right
    assert parity.agreement == 0
    assert parity.worst_regret == 1  # the second observation's choice loses 2, the spread of all values is 2
    with pytest.raises(ParityError, match="values its candidates differently"):
        require_parity(parity, FIX)


def test_a_tie_may_be_broken_either_way_but_not_often(arm):
    """Of 200 observations, the choices of 1 and then of 3 differ between candidates of practically equal value."""
    count = 200
    sample = ParitySample(np.zeros((count, 4), np.float32), seed=0)
    candidates = np.zeros((count, 2, 2), np.float32)
    candidates[:, 1] = 0.5
    value = np.tile(np.float32([0, 1]), (count, 1))
    value[:3] = [1, 1 + 1e-6]
    reference = Reference(candidates[:, 1], value, candidates)
    for ties in (1, 3):
        got = Answers(candidates[:, 1].copy(), value.copy())
        got.action[:ties], got.value[:ties, 0] = candidates[:ties, 0], 1 + 2e-6
        parity = compare_policy(got, reference, sample, arm, LABELS)
        assert parity.worst == (0, 0)
        assert parity.worst_regret < 2e-6
        assert parity.agreement == 1 - ties / count
        if ties == 1:
            require_parity(parity, FIX)
    with pytest.raises(ParityError, match=r"other candidates[\s\S]*98\.50% of 200"):
        require_parity(parity, FIX)


def test_without_candidates_only_equal_choices_are_compared(arm, sample, reference):
    got = answers(reference)
    got.value[0] = [3, 1]
    got.action[0] = 0.7
    parity = compare_policy(got, Reference(reference.action, reference.value), sample, arm, LABELS)
    assert parity.compared == 1
    assert parity.worst == (0, 0)
    assert parity.worst_regret == 0.5  # loses 1 of a spread of 2


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_number_that_is_none_is_never_within_the_tolerance(arm, sample, reference, broken):
    got = answers(reference)
    got.action[0, 1] = broken
    with pytest.raises(ParityError, match="'b', observation 0"):
        require_parity(compare_policy(got, reference, sample, arm, LABELS), FIX)
    got = answers(reference)
    got.value[1, 1] = broken  # the best one; argmax takes a NaN for the largest
    with pytest.raises(ParityError, match="values its candidates differently"):
        require_parity(compare_policy(got, reference, sample, arm, LABELS), FIX)


def test_half_precision_is_allowed_more(arm, sample, reference):
    got = answers(reference)
    got.action[0, 0] += 0.016  # a hundredth of the range
    require_parity(compare_policy(got, reference, sample, arm, ("sampler", "tensorrt", "float16")), FIX)
    with pytest.raises(ParityError):
        require_parity(compare_policy(got, reference, sample, arm, LABELS), FIX)


def test_the_critic_is_judged_against_the_spread_of_v(sample):
    expected = np.float32([[1, 2, 0], [3, 4, 10]])  # two members and V, which spreads over 10
    sample = ParitySample(sample.observations, 0, critic=expected)
    got = expected.copy()
    got[1, 0] += 1
    parity = compare_critic(got, sample, ("critic", "onnxruntime", "float32"))
    assert parity.names == ("q0", "q1", "v")
    assert parity.worst == (1, 0, 0)
    assert parity.worst_of_range == (0.1, 0, 0)
    with pytest.raises(ParityError, match=r"critic in onnxruntime[\s\S]*'q0'[\s\S]*of the values' spread"):
        require_parity(parity, FIX)


def test_noise_is_standard_normal_and_the_same_for_ever():
    noise = draw_noise(7, 5000, (4, 3))
    assert noise.shape == (5000, 4, 3)
    assert noise.dtype == np.float32
    assert abs(noise.mean()) < 0.02  # 60,000 numbers: five standard errors
    assert abs(noise.std() - 1) < 0.02
    assert abs(np.corrcoef(noise[:, 0, 0], noise[:, 1, 2])[0, 1]) < 0.07
    # written down once: another numpy or machine must draw the same, up to the last digit
    np.testing.assert_allclose(draw_noise(7, 1, (1, 4)).ravel(), NOISE_OF_SEED_7, rtol=1e-6)


def test_actions_cover_the_range(arm):
    lower, upper = np.float32([-1, 0]), np.float32([1, 10])
    actions = draw_actions(1, 4000, lower, upper)
    assert (actions >= lower).all()
    assert (actions <= upper).all()
    np.testing.assert_allclose(actions.mean(axis=0), [0, 5], atol=0.2)
    np.testing.assert_allclose(actions.max(axis=0), [1, 10], atol=0.05)


def test_a_sample_is_read_as_it_was_written(tmp_path, reference):
    sample = ParitySample(np.float32([[1, 2]]), 5, {"a.b": reference}, np.float32([[3, 4]]))
    write_sample(tmp_path / "s.npz", sample)
    again = read_sample(tmp_path / "s.npz")
    assert again.seed == 5
    np.testing.assert_array_equal(again.observations, sample.observations)
    np.testing.assert_array_equal(again.policies["a.b"].action, reference.action)
    np.testing.assert_array_equal(again.policies["a.b"].value, reference.value)
    assert again.policies["a.b"].candidates is None
    np.testing.assert_array_equal(again.critic, sample.critic)


@pytest.mark.parametrize("data", [None, b"", b"no archive", b"PK\x03\x04 half an archive"])
def test_a_damaged_sample_is_one_clear_error(tmp_path, data):
    if data is not None:
        (tmp_path / "s.npz").write_bytes(data)
    with pytest.raises(BundleError, match=r"no readable parity sample[\s\S]*s\.npz"):
        read_sample(tmp_path / "s.npz")


@pytest.fixture
def folder(write_tiny_bundle, tmp_path, arm):
    weights = np.float32([[0.1, 0.2, -0.1, 0.3, 0.05], [-0.2, 0.1, 0.2, 0.1, -0.05]])
    return write_tiny_bundle(tmp_path, arm, weights, noise_gain=0.1)


def test_a_bundle_checks_itself_on_the_target_machine(folder):
    with load_bundle(folder) as bundle:
        results = check_bundle(bundle)
    assert [parity.network for parity in results] == ["actor", "sampler", "critic", "policy"]
    for parity in results:
        assert parity.observations == 20
        assert parity.worst_fraction < 1e-6
        assert parity.agreement == 1


def test_an_engine_that_computes_something_else_is_told(folder):
    sample = read_sample(folder / "parity.npz")
    changed = sample.policies["sampler"].action.copy()
    changed[13, 1] += 0.01
    policies = {**sample.policies, "sampler": Reference(changed, sample.policies["sampler"].value)}
    write_sample(folder / "parity.npz", ParitySample(sample.observations, sample.seed, policies, sample.critic))
    path = folder / "two_joints.yaml"
    manifest = read_manifest(path)
    files = {**manifest.x_divo.files, "parity.npz": file_hash(folder / "parity.npz", "sha256")}
    extras = msgspec.structs.replace(manifest.x_divo, files=files)
    write_manifest(path, msgspec.structs.replace(manifest, x_divo=extras))
    with (
        load_bundle(folder) as bundle,
        pytest.raises(ParityError, match=r"sampler in onnxruntime \(float32\), 'b', observation 13") as caught,
    ):
        check_bundle(bundle)
    assert "divo-export check" in caught.value.fix
