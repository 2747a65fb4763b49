"""Recognizable 3D face shapes: an ablation suite on PyTorch Lightning."""
