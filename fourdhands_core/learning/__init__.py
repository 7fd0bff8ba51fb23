"""Losses, metrics, synthetic motion, training and evaluation."""
