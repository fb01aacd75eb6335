"""The networks of model folders in torch: architecture, weights and export to ONNX."""
