"""Networks and how they learn: backbones, the one training loop, what is measured, weights as files."""
