"""Small networks for tests: random weights, and statistics that make their maps lively."""

import torch

from wsss_lib.learning.backbones import backbone
from wsss_lib.methods.cam import Classifier


def calibrated_classifier(classes=4, seed=0, name="toy", output_stride=8):
    """A classifier with random weights in float64, normalised on noise, in evaluation mode."""
    torch.manual_seed(seed)
    model = Classifier(backbone(name, output_stride=output_stride), classes).double()
    model.train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(8, 3, 48, 48, dtype=torch.float64))
    return model.eval()
