from __future__ import annotations

import pytest

from divo_sim.cli import main


def test_help_explains_every_setting_with_its_default(capsys):
    with pytest.raises(SystemExit) as end:
        main(["collect", "--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    for word in (
        "--mixture",
        "mixed-25",
        "--transitions",
        "100000",
        "--workers",
        "one per core",
        "MINARI_DATASETS_PATH",
    ):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["collect", "--transitions", "0"], "transitions >= 1"),
        (["render", "--out", "film.mp4"], "a .gif or .png file"),
    ],
)
def test_a_mistake_ends_in_a_message_and_exit_code_two(capsys, arguments, words):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    message = capsys.readouterr().err
    assert end.value.code == 2
    assert words in message
    assert "Traceback" not in message


def test_collect_and_render_write_what_they_promise(capsys, tmp_path):
    main(["collect", "--mixture", "expert", "--transitions", "50", "--workers", "1", "--out", str(tmp_path)])
    assert (tmp_path / "divo/arm_reach/expert-v0/data/main_data.hdf5").exists()
    assert "content sha256" in capsys.readouterr().out
    main(["render", "--behaviours", "inner", "--width", "64", "--out", str(tmp_path / "still.png")])
    assert (tmp_path / "still.png").stat().st_size > 0
