"""Seeing hands: detectors, and which hand is which over time."""
