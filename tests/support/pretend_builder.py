"""A TensorRT builder whose engine is the ONNX file itself, so that the real Polygraphy can be driven without a GPU."""

from __future__ import annotations

import enum
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import tensorrt_lean_bindings as lean


class NetworkDefinitionCreationFlag(enum.IntEnum):
    """As in TensorRT 10 and 11; the lean runtime has no such thing."""

    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class Builder:
    """Keeps what Polygraphy asked for."""

    def __init__(self):
        self.creation_flags = 0
        self.configs: list[MagicMock] = []

    def create_network(self, flags):
        self.creation_flags = flags
        network = MagicMock(num_inputs=0, num_outputs=0, num_layers=0)
        network.__iter__.return_value = iter([])
        return network

    def create_builder_config(self):
        config = MagicMock(DLA_core=-1, num_optimization_profiles=1)
        config.get_memory_pool_limit.return_value = config.get_tactic_sources.return_value = 0
        config.get_flag.return_value = config.get_preview_feature.return_value = False
        config.get_timing_cache.return_value.serialize.return_value.__enter__.return_value = b"timings"
        self.configs.append(config)
        return config

    def create_optimization_profile(self):
        return MagicMock()

    def build_serialized_network(self, network, config):
        return network.parsed


class OnnxParser:
    """Takes any ONNX file whose name does not say that it is bad."""

    num_errors = 0

    def __init__(self, network, logger):
        self.network = network

    def parse_from_file(self, path):
        self.network.parsed = Path(path).read_bytes()
        return "unbuildable" not in path


def add_builder(module: ModuleType) -> list[Builder]:
    """Give a pretended TensorRT a builder; return the list of builders that will be made."""
    made: list[Builder] = []

    def make(logger):
        made.append(Builder())
        return made[-1]

    for name in dir(lean):
        if name[0].isupper() and not hasattr(module, name):
            setattr(module, name, getattr(lean, name))
    module.NetworkDefinitionCreationFlag = NetworkDefinitionCreationFlag
    module.Builder, module.OnnxParser, module.init_libnvinfer_plugins = make, OnnxParser, lambda logger, namespace: True
    return made
