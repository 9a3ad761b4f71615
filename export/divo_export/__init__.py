"""Training run to bundle: ONNX graphs, parity report, manifest."""
