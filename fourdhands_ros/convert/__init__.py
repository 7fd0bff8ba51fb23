"""Between messages and arrays: images, CameraInfo, depth, HandPair, frames, markers."""
