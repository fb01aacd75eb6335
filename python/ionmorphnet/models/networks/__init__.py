"""The networks of model folders in torch: architecture, weights, export to ONNX."""
