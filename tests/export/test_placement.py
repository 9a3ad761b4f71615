"""A crash, a full disk or a forbidden folder must leave a whole bundle where a whole bundle was."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from divo_export import placement
from divo_export.placement import put_in_place
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.errors import BundleError
from divo_runtime.parity.judgement import ParityError


@pytest.fixture
def two_folders(tmp_path):
    old, new = tmp_path / "bundle", tmp_path / "scratch" / "bundle"
    for folder, text in ((old, "old"), (new, "new")):
        folder.mkdir(parents=True)
        (folder / "a").write_text(text)
    return old, new


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refuse_exchange(monkeypatch, code):
    """Make the system answer as a file system does that cannot exchange names."""
    monkeypatch.setattr(placement, "_rename_exchange", lambda *_: code)


@pytest.mark.parametrize("code", [None, errno.EINVAL], ids=["exchanged", "moved-aside"])
def test_a_folder_takes_the_place_of_an_older_one(two_folders, monkeypatch, code):
    old, new = two_folders
    if code:
        refuse_exchange(monkeypatch, code)
    put_in_place(new, old)
    assert contents(old) == {"a": b"new"}
    assert list(new.parent.iterdir()) == []
    assert sorted(path.name for path in old.parent.iterdir()) == ["bundle", "scratch"]


def test_a_folder_goes_where_nothing_was(two_folders):
    old, new = two_folders
    shutil.rmtree(old)
    put_in_place(new, old)
    assert contents(old) == {"a": b"new"}


def test_a_move_that_fails_after_the_first_half_is_undone(two_folders, monkeypatch):
    old, new = two_folders
    refuse_exchange(monkeypatch, errno.EINVAL)
    rename = Path.rename

    def fail_for_new(self, target):
        if self == new:
            raise OSError(errno.EIO, "input/output error", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_new)
    with pytest.raises(OSError, match="input/output"):
        put_in_place(new, old)
    assert contents(old) == {"a": b"old"}


def test_an_exchange_that_is_refused_for_another_reason_is_an_error(two_folders, monkeypatch):
    old, new = two_folders
    refuse_exchange(monkeypatch, errno.EACCES)
    with pytest.raises(PermissionError):
        put_in_place(new, old)
    assert contents(old) == {"a": b"old"}


def test_an_export_killed_before_its_last_step_leaves_the_older_bundle(make_run, export, tmp_path):
    run, out = make_run(1), tmp_path / "bundles" / "arm_reach"
    export(run, out, more_steps=())
    before = contents(out)
    script = f"""
        import os, signal
        from datetime import datetime, timezone
        from pathlib import Path
        from divo_export import bundle, options
        bundle.put_in_place = lambda folder, place: os.kill(os.getpid(), signal.SIGKILL)
        chosen = options.ExportOptions(more_steps=(), parity_observations=20, episodes=0)
        created = datetime(2026, 1, 1, tzinfo=timezone.utc)
        bundle.export_bundle(Path({str(run)!r}), Path({str(out)!r}), chosen, created, lambda line: None)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=False)
    assert ended.returncode == -9, ended.stderr.decode()
    assert contents(out) == before
    load_bundle(out).close()


def test_a_full_disk_is_one_clear_error_and_the_older_bundle_stays(make_run, export, tmp_path):
    """A limit on the size of a file stands in for the disk's end: the kernel refuses to write beyond it."""
    run, out = make_run(1), tmp_path / "bundles" / "arm_reach"
    export(run, out, more_steps=())
    before = contents(out)
    least = max(len(data) for name, data in before.items() if name.endswith(".onnx")) // 2

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (least, hard))
    try:
        with pytest.raises(BundleError, match="cannot be written") as caught:
            export(run, out, more_steps=())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.got == os.strerror(errno.EFBIG)
    assert "Make room" in caught.value.fix
    assert contents(out) == before
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 64 kB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"mounting needs more rights: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_runs_full_is_one_clear_error_and_the_older_bundle_stays(make_run, export, tiny_disk):
    out = tiny_disk / "arm_reach"
    out.mkdir()
    (out / "actor.onnx").write_text("older actor")
    with pytest.raises(BundleError, match="cannot be written") as caught:
        export(make_run(1), out, more_steps=())
    assert caught.value.got == os.strerror(errno.ENOSPC)
    assert contents(out) == {"actor.onnx": b"older actor"}
    assert [path.name for path in tiny_disk.iterdir()] == ["arm_reach"]


def test_a_disk_that_is_read_only_is_one_clear_error(make_run, export, tiny_disk):
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    with pytest.raises(BundleError, match="cannot be written") as caught:
        export(make_run(1), tiny_disk / "arm_reach", more_steps=())
    assert caught.value.got == os.strerror(errno.EROFS)
    assert str(tiny_disk) in caught.value.where


def test_a_folder_that_cannot_be_made_is_one_clear_error(make_run, export, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BundleError, match="cannot be written") as caught:
        export(make_run(1), tmp_path / "file" / "bundle", more_steps=())
    assert str(tmp_path / "file") in caught.value.where


@pytest.mark.parametrize("network", ["actor", "sampler", "critic"])
def test_a_graph_that_computes_something_else_fails_the_export_and_changes_nothing(
    network, make_run, export, older, spoil
):
    spoil(network)
    before = contents(older)
    with pytest.raises(ParityError, match=rf"{network} in onnxruntime \(float32\)") as caught:
        export(make_run(1), older, more_steps=())
    error = caught.value
    assert "does not compute what was trained" in error.what
    assert ("'panda_joint" in error.where) == (network != "critic")
    assert "observation " in error.where
    assert "first operator that differs: " in error.where
    assert " of its range" in error.got or "of the values' spread" in error.got
    assert "within 1e-04" in error.expected
    assert contents(older) == before
    assert [path.name for path in older.parent.iterdir()] == [older.name]
