"""interchange/onnx."""
