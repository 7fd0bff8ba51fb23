"""Pictures of two hands drawn by the hundred a second, with their exact truth: what image networks are trained on."""
