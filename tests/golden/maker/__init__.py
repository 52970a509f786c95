"""Tiny random checkpoints with reference logits; see ../README.md."""
