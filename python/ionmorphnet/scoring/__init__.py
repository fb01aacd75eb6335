"""From ion images to scores: networks on the CPU or a GPU, classical statistics."""
