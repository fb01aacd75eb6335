"""The torch scorer: networks on a GPU with fused kernels, or on the CPU."""
