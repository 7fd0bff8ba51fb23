"""Metrics, and what they say of the tracker on rendered clips, real videos and datasets."""
