"""Rotations, boxes, cameras: plain arrays in, plain arrays out."""
