import numpy as np
import pytest

from divo_runtime.interfaces import PolicyAction
from divo_runtime.timing.deadline import DeadlineChooser, DeadlinePolicy, RunningP99

US = 1_000
COSTS = [[20 * US] * 100, [100 * US] * 100, [300 * US] * 100]
"""An actor and two samplers."""


def test_the_percentile_is_the_nearest_rank_of_the_last_200_calls():
    p99 = RunningP99([10])
    for _ in range(198):
        p99.add(10)
    p99.add(500)
    assert p99.value_ns == 10  # one slow call of 200: rank 198 of 200
    p99.add(600)
    p99.add(700)
    assert p99.value_ns == 500  # 10 .. 10, 500, 600, 700: rank 198

    for _ in range(200):
        p99.add(20)
    assert p99.value_ns == 20

    p99.restart()
    assert p99.value_ns == 10


@pytest.mark.parametrize(
    ("budget_us", "index"), [(1000, 2), (300, 2), (299, 1), (100, 1), (99, 0), (20, 0), (1, 0), (-5, 0)]
)
def test_takes_the_best_policy_that_fits_and_the_cheapest_when_none_does(budget_us, index):
    assert DeadlineChooser(COSTS, patience=3).choose(budget_us * US) == index


def test_goes_down_at_once_and_up_only_after_having_fitted_for_a_while():
    chooser = DeadlineChooser(COSTS, patience=3)

    assert [chooser.choose(b * US) for b in (400, 150, 400, 400, 400, 400)] == [2, 1, 1, 1, 2, 2]
    assert chooser.switches == 2


def test_one_cycle_that_does_not_fit_begins_the_wait_again():
    chooser = DeadlineChooser(COSTS, patience=3)

    assert [chooser.choose(b * US) for b in (150, 400, 400, 150, 400, 400, 400)] == [1, 1, 1, 1, 1, 1, 2]


def test_calls_that_become_slow_lead_down_and_what_is_not_called_is_tried_again():
    chooser = DeadlineChooser(COSTS, patience=2)
    assert chooser.choose(350 * US) == 2
    chooser.add(2, 900 * US)
    assert chooser.choose(350 * US) == 2  # one slow call of 101: rank 100 of 101
    chooser.add(2, 900 * US)

    assert chooser.choose(350 * US) == 1
    assert chooser.p99s_ns == (20 * US, 100 * US, 300 * US)
    assert chooser.choose(350 * US) == 1
    assert chooser.choose(350 * US) == 2


def test_going_up_in_vain_doubles_the_wait_so_that_it_does_not_flap():
    chooser = DeadlineChooser(COSTS, patience=2)
    chosen = []
    for _ in range(40):
        index = chooser.choose(350 * US)
        chosen.append(index)
        if index == 2:  # always too slow when it is really used
            for _ in range(3):
                chooser.add(2, 900 * US)

    # waits of 2, 4, 8 and 16 cycles, the one that goes down included
    assert [number for number, index in enumerate(chosen) if index == 2] == [0, 3, 8, 17, 34]


def test_going_up_that_lasts_makes_the_wait_short_again():
    chooser = DeadlineChooser(COSTS, patience=2)
    for budget_us in (400, 150, 400, 400, 150):  # up at the fourth cycle, down at the fifth: the wait is 4 now
        chooser.choose(budget_us * US)
    assert [chooser.choose(400 * US) for _ in range(4)] == [1, 1, 1, 2]
    for _ in range(9):  # more than twice the wait
        assert chooser.choose(400 * US) == 2
    chooser.choose(150 * US)

    assert [chooser.choose(400 * US) for _ in range(2)] == [1, 2]


class Named:
    def __init__(self, number, rows, clock, cost_ns):
        self.noise_shape, self._number, self._clock, self._cost_ns = (rows, 2), number, clock, cost_ns
        self.noise = None

    def act(self, observation, noise):
        self.noise = noise
        self._clock[0] += self._cost_ns
        return PolicyAction(np.full(2, self._number, np.float32), 0.0)


def test_acts_by_what_fits_before_the_deadline_and_gives_each_policy_the_noise_it_wants():
    clock = [1_000_000]
    actor, sampler = Named(1, 1, clock, 20 * US), Named(2, 4, clock, 300 * US)
    chooser = DeadlineChooser([[20 * US], [300 * US]], patience=1)
    policy = DeadlinePolicy({"actor": actor, "sampler": sampler}, chooser, reserve_ns=200 * US, now_ns=lambda: clock[0])
    noise = np.arange(8, dtype=np.float32).reshape(4, 2)
    assert policy.noise_shape == (4, 2)

    policy.deadline_ns = clock[0] + 500 * US  # 300 us for the policy
    assert policy.act(np.zeros(3, np.float32), noise).action.tolist() == [2, 2]
    assert (policy.name, policy.switches) == ("sampler", 0)
    policy.deadline_ns = clock[0] + 499 * US
    assert policy.act(np.zeros(3, np.float32), noise).action.tolist() == [1, 1]

    assert (policy.name, policy.switches) == ("actor", 1)
    assert actor.noise.tolist() == [[0, 1]]
    assert sampler.noise.tolist() == noise.tolist()
    assert policy.p99s_ns == {"actor": 20 * US, "sampler": 300 * US}
