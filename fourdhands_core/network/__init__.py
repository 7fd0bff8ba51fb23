"""The 4DHands network: tokens, relation maps (RAT), reasoning (SIR), regression."""
