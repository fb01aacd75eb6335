"""TensorRT: typed graphs, engines built, cached and run."""
