"""The hand: skeleton, MANO-format assets, the layer that poses them."""
