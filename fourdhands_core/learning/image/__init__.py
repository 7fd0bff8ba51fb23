"""Training the image network."""
