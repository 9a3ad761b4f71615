import importlib.util
import sys
from pathlib import Path

import pytest
import torch

spec = importlib.util.spec_from_file_location("bandit", Path(__file__).with_name("bandit.py"))
bandit_module = importlib.util.module_from_spec(spec)
sys.modules.setdefault("bandit", bandit_module)
spec.loader.exec_module(bandit_module)


@pytest.fixture(scope="session")
def bandit():
    return bandit_module


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
