"""AdvCAM on a ResNet-50: time per climbing step against the literal procedure, and peak memory."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from tests.methods.literal_advcam import official
from wsss_lib.learning.backbones import backbone, fold_norms
from wsss_lib.methods.advcam import Climbing, climb
from wsss_lib.methods.cam import Classifier

HEIGHT, WIDTH = 240, 320
STEPS, MORE_STEPS, ROUNDS = 2, 4, 3
BAR = 2.2


def classifier() -> Classifier:
    """A ResNet-50 of random weights, at output stride 16."""
    torch.manual_seed(0)
    return Classifier(backbone("resnet50", output_stride=16, frozen_norm=True), 20).eval()


def seconds(function) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak_memory() -> dict:
    """The memory of a process that climbs three classes of one photo of 375 x 500 pixels, in MiB."""
    code = "from tests.benchmarks.advcam import climb_three; climb_three()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, check=True
    )
    return json.loads(done.stdout)


def climb_three() -> None:
    """Prints the resident memory before and at the peak of three climbs."""
    model, photo = fold_norms(classifier()), torch.randn(1, 3, 375, 500).expand(3, -1, -1, -1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    climb(model, photo, torch.arange(3), torch.eye(20)[:3], Climbing(steps=2))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"network_MiB": round(before), "climbing_MiB": round(after)}))


def benchmark() -> dict:
    """Times a step of both, in turns: what two more steps cost, so that no saved last step counts."""
    model, photo = classifier(), torch.randn(3, HEIGHT, WIDTH)
    one, tags = torch.tensor([5]), torch.eye(20)[5:6]

    def literal(steps):
        return seconds(lambda: official(model, photo, 5, steps=steps))

    # both as `wsss_lib.pipeline.stages` does
    fast_model = fold_norms(classifier().to(memory_format=torch.channels_last))

    def lean(steps):
        return seconds(lambda: climb(fast_model, photo[None], one, tags, Climbing(steps=steps)))

    cost = {}
    for name, method in (("literal", literal), ("lean", lean)):
        method(1)
        few, many = (min(method(steps) for _ in range(ROUNDS)) for steps in (STEPS, MORE_STEPS))
        cost[name] = (many - few) / (MORE_STEPS - STEPS)
    return {
        "literal_s_per_step": round(cost["literal"], 3),
        "lean_s_per_step": round(cost["lean"], 3),
        "ratio": round(cost["literal"] / cost["lean"], 2),
        "bar": BAR,
        **peak_memory(),
    }
