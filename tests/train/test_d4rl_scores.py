"""D4RL's tasks: names, scores, environments, and the way from a file to a normalised score."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import gymnasium
import h5py
import numpy as np
import pytest
import tyro

from divo_runtime.errors import DatasetError, DivoError
from divo_train import cli
from divo_train.benchmark.plan import fit_configs, read_plan
from divo_train.config import FitConfig
from divo_train.d4rl.environments import differences
from divo_train.d4rl.scoring import score_episodes
from divo_train.d4rl.tasks import FAMILIES, find_task, gymnasium_id, normalised_score, task_of_file
from divo_train.evaluate import Episode

PLAN = Path(__file__).resolve().parents[2] / "benchmarks" / "d4rl.yaml"


def unwrapped_task(world):
    """The wrapper that knows D4RL's coordinates, below gymnasium's own."""
    while not hasattr(world, "goal"):
        world = world.env
    return world


def test_random_scores_zero_and_d4rl_s_expert_one_hundred():
    task = find_task("hopper-medium-replay-v2")
    assert normalised_score(task, -20.272305) == 0
    assert normalised_score(task, 3234.3) == pytest.approx(100)
    # (1607.0138475 + 20.272305) / (3234.3 + 20.272305) is one half
    assert normalised_score(task, 1607.0138475) == pytest.approx(50)
    assert normalised_score(find_task("antmaze-large-play-v2"), 0.25) == 25


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("halfcheetah_medium_replay-v2.hdf5", "halfcheetah-medium-replay-v2"),
        ("walker2d_full_replay-v2.hdf5", "walker2d-full-replay-v2"),
        ("Ant_maze_u-maze_noisy_multistart_False_multigoal_False_sparse_fixed.hdf5", "antmaze-umaze-v2"),
        ("Ant_maze_u-maze_noisy_multistart_True_multigoal_True_sparse_fixed.hdf5", "antmaze-umaze-diverse-v2"),
        ("Ant_maze_big-maze_noisy_multistart_True_multigoal_False_sparse_fixed.hdf5", "antmaze-medium-play-v2"),
        ("Ant_maze_hardest-maze_noisy_multistart_True_multigoal_True_sparse.hdf5", "antmaze-large-diverse-v0"),
    ],
)
def test_d4rl_s_files_are_known_by_their_names(file, name):
    assert task_of_file(Path(file)).name == name


@pytest.mark.parametrize(
    "name", ["antmaze-umaze-play-v2", "halfcheetah-medium", "pen-human-v0", "antmaze-large-play-v1"]
)
def test_what_cannot_be_scored_here_is_no_task(name):
    with pytest.raises(DatasetError, match="no D4RL dataset"):
        find_task(name)
    assert task_of_file(Path(f"{name}.hdf5")) is None


def test_the_plan_names_eighteen_tasks_with_d4rl_s_own_reference_returns():
    plan = read_plan(PLAN)
    assert len({trial.name for trial in plan.trials}) == 18
    for trial in plan.trials:
        task = find_task(trial.name.removeprefix("d4rl."))
        assert trial.dataset == f"data/d4rl/{task.name}"
        assert (trial.random_return, trial.expert_return) == (task.family.random_return, task.family.expert_return)
        assert round(trial.settings["value"]["backup_s"] * task.family.rate_hz, 9) == 1  # one-step backups


def test_the_page_s_settings_for_one_task_are_the_plan_s_and_the_command_line_s():
    page = (PLAN.parents[1] / "docs" / "d4rl.md").read_text(encoding="utf-8")
    block = next(block for block in page.split("```sh\n")[1:] if "--network.width" in block).split("```")[0]
    command = next(line for line in block.replace("\\\n", " ").splitlines() if "divo-train fit" in line)
    shown = tyro.cli(FitConfig, args=command.split()[2:])
    plan = read_plan(PLAN)
    trial = next(one for one in plan.trials if one.name == "d4rl.halfcheetah-medium-v2")
    config = fit_configs(plan, trial, Path("unused"))["divo"]
    same = {"out": config.out, "methods": config.methods, "replicas": config.replicas, "cloning": config.cloning}
    assert dataclasses.replace(shown, **same) == config


def test_successes_get_an_exact_interval_and_returns_a_bootstrapped_one():
    task = find_task("antmaze-umaze-v2")
    won = [Episode(i, i < 9, False, 0, float(i < 9), 10) for i in range(10)]
    score = score_episodes(task, "actor", won)
    assert score.score == pytest.approx(90)
    assert (score.low, score.high) == (pytest.approx(55.5, abs=0.1), pytest.approx(99.7, abs=0.1))  # Clopper, Pearson
    same = [Episode(i, True, True, 0, 3234.3, 1000) for i in range(3)]
    score = score_episodes(find_task("hopper-expert-v2"), "actor", same)
    assert (score.low, score.high) == (pytest.approx(100), pytest.approx(100))


def test_how_an_environment_differs_from_d4rl_s_is_told():
    assert len(differences("halfcheetah", "v4")) == 1
    assert any("not a D4RL score" in part for part in differences("hopper", "v5"))
    assert any("ant" in part for part in differences("antmaze-large", "v4"))


@pytest.mark.parametrize(("name", "size"), [("halfcheetah", (17, 6)), ("hopper", (11, 3)), ("walker2d", (17, 6))])
def test_locomotion_has_d4rl_s_sizes_and_rate(name, size):
    pytest.importorskip("mujoco")
    world = gymnasium.make(gymnasium_id(name, "v4"))
    observation, info = world.reset(seed=0)
    assert (observation.shape[0], world.action_space.shape[0]) == size
    assert observation.dtype == np.float32
    assert info["success"]
    assert 1 / world.unwrapped.dt == pytest.approx(FAMILIES[name].rate_hz)
    world.close()


@pytest.mark.parametrize(("name", "cell"), [("umaze", (0, 8)), ("medium", (20, 20)), ("large", (32, 24))])
def test_mazes_have_d4rl_s_coordinates_goals_and_ant(name, cell):
    """D4RL's goal stands in cell (row, column): x = 4 (column - 1), y = 4 (row - 1), and up to 1.5 m beyond."""
    pytest.importorskip("gymnasium_robotics")
    world = gymnasium.make(gymnasium_id(f"antmaze-{name}", "v4"))
    task = unwrapped_task(world)
    observation, _ = world.reset(seed=1)
    assert observation.shape == (29,)
    assert np.abs(observation[:2]).max() <= 0.1  # the start, give or take D4RL's noise
    assert observation[2] == pytest.approx(0.75, abs=0.1)
    assert (task.goal >= np.array(cell)).all()
    assert (task.goal <= np.array(cell) + 1.5).all()
    again, _ = world.reset(seed=1)
    assert np.array_equal(observation, again)
    ant = world.unwrapped.ant_env
    assert 1 / ant.dt == pytest.approx(FAMILIES[f"antmaze-{name}"].rate_hz)
    assert ant.model.actuator_gear[0, 0] == 30
    world.close()


def test_the_umaze_s_wall_is_where_d4rl_s_is():
    """In D4RL the way to the goal leads right (x), then up (y): straight up from the start is a wall at y = 2."""
    pytest.importorskip("gymnasium_robotics")
    world = gymnasium.make(gymnasium_id("antmaze-umaze", "v4"))
    world.reset(seed=0)
    maze, origin = world.unwrapped.maze, unwrapped_task(world)._origin
    walls = {
        tuple((maze.cell_rowcol_to_xy(np.array(cell)) - origin).round().tolist())
        for cell in np.argwhere(np.array([[c == 1 for c in row] for row in maze.maze_map]))
    }
    assert (0, 4) in walls
    assert (4, 4) in walls
    assert not {(0, 0), (4, 0), (8, 0), (8, 4), (8, 8), (4, 8), (0, 8)} & walls
    world.close()


def test_arriving_ends_a_maze_with_reward_one():
    pytest.importorskip("gymnasium_robotics")
    world = gymnasium.make(gymnasium_id("antmaze-umaze", "v4"))
    world.reset(seed=0)
    task, ant = unwrapped_task(world), world.unwrapped.ant_env
    _, reward, terminated, _, info = world.step(np.zeros(8, np.float32))
    assert (reward, terminated, info["success"]) == (0, False, False)
    position = ant.data.qpos.copy()
    position[:2] = task.goal + task._origin
    ant.set_state(position, np.zeros_like(ant.data.qvel))
    _, reward, terminated, _, info = world.step(np.zeros(8, np.float32))
    assert (reward, terminated, info["success"]) == (1, True, True)
    world.close()


def write_random_halfcheetah(path):
    """2000 steps of random actions, as D4RL keeps them."""
    world = gymnasium.make(gymnasium_id("halfcheetah", "v4"))
    rng = np.random.default_rng(0)
    rows = {"observations": [], "actions": [], "rewards": [], "terminals": [], "timeouts": []}
    for seed in range(2):
        observation, _ = world.reset(seed=seed)
        over = False
        while not over:
            action = rng.uniform(-1, 1, 6).astype(np.float32)
            following, reward, terminated, truncated, _ = world.step(action)
            for key, value in zip(rows, (observation, action, reward, terminated, truncated), strict=True):
                rows[key].append(value)
            observation, over = following, terminated or truncated
    world.close()
    with h5py.File(path, "w") as file:
        for key, values in rows.items():
            file[key] = np.array(values)


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["divo-train", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    cli.main()
    return capsys.readouterr().out


@pytest.mark.slow
def test_from_a_d4rl_file_to_a_normalised_score(tmp_path, monkeypatch, capsys):
    pytest.importorskip("mujoco")
    write_random_halfcheetah(tmp_path / "halfcheetah_random-v2.hdf5")
    dataset, run = tmp_path / "halfcheetah-random-v2", tmp_path / "run"
    output = command(monkeypatch, capsys, "import", tmp_path / "halfcheetah_random-v2.hdf5", "--out", dataset)
    assert "1,998 transitions, 2 episodes kept" in output
    command(
        monkeypatch, capsys, "fit", "--dataset", dataset, "--out", run, "--methods", "bc",
        "--cloning.updates", 20, "--workers", 1,
    )  # fmt: skip
    name = "halfcheetah-random-v2"
    output = command(
        monkeypatch, capsys, "evaluate", run, "--policies", "bc", "--episodes", 1, "--workers", 1, "--d4rl", name,
        "--first-seed", 777,
    )  # fmt: skip
    assert "D4RL-normalised" in output
    assert "mujoco" in output
    assert "Unlike D4RL" in output
    written = json.loads((run / "evaluation" / f"d4rl-{name}-v4.json").read_text())
    (score,) = written["scores"]
    (episode,) = json.loads((run / "evaluation" / f"d4rl-{name}-v4-bc.json").read_text())["episodes"]
    assert written["first_seed"] == episode["seed"] == 777
    # returns near zero lie between random's -280 and expert's 12135, at 280 / 12415 = 2.3 percent
    assert score["score"] == pytest.approx(100 * (score["return_mean"] + 280.178953) / 12415.178953)
    assert score["steps_mean"] == 1000
    with pytest.raises(SystemExit):
        command(monkeypatch, capsys, "evaluate", run, "--policies", "bc", "--d4rl", "hopper-medium-v2")
    assert "trained for another task" in capsys.readouterr().err


def test_a_maze_has_no_v5(tmp_path):
    from rich.console import Console

    from divo_train.d4rl.scoring import evaluate_d4rl

    with pytest.raises(DivoError, match="no such version"):
        evaluate_d4rl(tmp_path, "antmaze-umaze-v2", (), 1, 0, 1, None, "v5", Console(), lambda _: lambda _: None)
