"""Training the landmark network: synthetic motion, measured detector errors, ablations."""
