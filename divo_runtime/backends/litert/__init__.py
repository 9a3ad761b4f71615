"""LiteRT, to which our graphs are translated from ONNX in memory."""
