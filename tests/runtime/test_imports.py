"""The runtime must run on a robot with numpy and a YAML library, and nothing that trains, simulates or speaks ROS."""

import subprocess
import sys

HEAVY = ("torch", "onnx", "pybullet", "gymnasium", "rclpy", "scipy", "h5py", "matplotlib")

IMPORT_ALL = """
import importlib, pkgutil, sys
import divo_runtime
names = [m.name for m in pkgutil.walk_packages(divo_runtime.__path__, "divo_runtime.")]
for name in names:
    importlib.import_module(name)
found = sorted(set(HEAVY) & set(sys.modules))
sys.stdout.write(f"{len(names)} {' '.join(found)}".strip())
"""

BLOCK = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocked())
"""


def run(*parts, heavy=HEAVY):
    code = "\n".join([f"HEAVY = {heavy!r}", *parts])
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_no_module_of_the_runtime_imports_anything_heavy():
    count, *found = run(IMPORT_ALL)
    assert int(count) > 15
    assert found == []


def test_every_module_imports_where_nothing_heavy_is_installed():
    assert len(run(BLOCK, IMPORT_ALL)) == 1


def test_engines_and_the_command_line_library_load_only_on_demand():
    only_on_demand = (*HEAVY, "onnxruntime", "ai_edge_litert", "flatbuffers", "tyro")
    modules = ("bundle.loading", "controller", "timing.loop", "backends.onnxrt", "backends.litert.backend")
    use = f"import {', '.join(f'divo_runtime.{module}' for module in modules)}\n"
    check = "sys.stdout.write(' '.join(set(HEAVY) & set(sys.modules)))"
    assert run(BLOCK, use, check, heavy=only_on_demand) == []
