"""What an ONNX file holds, read without the onnx package."""
