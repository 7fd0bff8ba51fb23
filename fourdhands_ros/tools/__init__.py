"""Programs around the node: a camera from a file, the demo, benchmarks."""
