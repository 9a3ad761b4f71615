"""`divo-sim validate` with real processes and real DDS on a bundle that always turns the first joint."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("rclpy")

from divo_sim.cli import main
from divo_sim.contracts import arm_reach_contract
from divo_sim.episode_store import EpisodeStore
from divo_sim.loop_trial import LoopTrial
from divo_sim.program import Program, ProgramError

TURN = [0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]

pytestmark = pytest.mark.ros


@pytest.mark.slow
def test_validates_a_bundle_and_goes_on_where_it_stopped(write_tiny_bundle, domain, tmp_path, capsys):
    bundle = write_tiny_bundle(tmp_path, arm_reach_contract(), TURN)
    out = tmp_path / "report"
    arguments = ["validate", "--bundle", str(bundle), "--policies", "actor", "--workers", "1", "--out", str(out)]
    main([*arguments, "--episodes", "1", "--first-seed", "3", "--domain", str(domain)])

    numbers = json.loads((out / "validation.json").read_text())
    actor = numbers["policies"]["actor"]
    assert actor["loop"]["episodes"] == actor["in_process"]["episodes"] == 1
    assert actor["loop"]["success"]["value"] == 0.0
    assert actor["latency"]["cycles"] >= 100  # 120 periods, less the few that a busy machine may miss
    assert actor["bad_commands"] == actor["faults"] == 0
    assert "report.html" in capsys.readouterr().out

    (line,) = (out / "episodes-actor.jsonl").read_text().splitlines()[1:]
    episode = json.loads(line)["outcome"]
    assert (episode["seed"], episode["steps"], len(episode["joints"])) == (3, 120, 120)
    assert episode["joints"][-1][0] - episode["joints"][0][0] > 1.0  # 0.3 rad/s for 6 s

    (out / "logs" / "robot-actor.log").unlink()
    main([*arguments, "--episodes", "1", "--first-seed", "3", "--domain", str(domain)])
    assert not (out / "logs" / "robot-actor.log").exists()  # nothing was played again
    assert EpisodeStore(out, "actor", numbers["key"]).begin([3]).keys() == {3}


def test_a_controller_that_refuses_its_bundle_is_an_error_that_shows_its_log(write_tiny_bundle, domain, tmp_path):
    bundle = write_tiny_bundle(tmp_path, arm_reach_contract(), TURN)
    (bundle / "actor.onnx").write_bytes(b"damaged")
    with (
        pytest.raises(ProgramError, match="failed to configure") as caught,
        LoopTrial(bundle, "actor", domain, tmp_path),
    ):
        pass
    assert caught.value.where == str(tmp_path / "controller-actor.log")
    assert "actor.onnx" in caught.value.got


def test_a_program_that_ends_by_itself_is_noticed_with_its_last_words(tmp_path):
    program = Program("interpreter", ["divo_controller.main", "--threads", "0"], {}, tmp_path / "log")
    program._process.wait()
    with pytest.raises(ProgramError, match="interpreter ended by itself") as caught:
        program.check_alive()
    assert re.search(r"exit code 2.*expects 1 to 64", caught.value.got, re.DOTALL)
