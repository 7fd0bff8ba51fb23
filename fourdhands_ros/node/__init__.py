"""The way of an image in the node: subscription, processing, outputs; parameters, services, diagnostics."""
