"""Training of the image network from datasets and synthesis: `fourdhands train CONFIG`."""
