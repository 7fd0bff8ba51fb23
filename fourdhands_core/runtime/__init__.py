"""Back ends that run the networks: onnxruntime, torch, CUDA graphs; crops, batches and export for them."""
