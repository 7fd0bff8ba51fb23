"""Hand datasets, each in its own published layout, read in place and given in one convention."""
