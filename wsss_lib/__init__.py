"""Weakly supervised semantic segmentation: from image tags to pixel masks.

One floor of folders; each imports from those above it in this list only.

============  ==============================================================================
``data``      the one layout on disk, photos and tags, augmentation, files of maps
``learning``  backbones, the one training loop, metrics, files of weights
``methods``   CAM, AdvCAM, CRF, seeds, AMN, DeepLab: tensors in, tensors out
``toy``       the drawn dataset
``pipeline``  stages of a run, file in, file out; runs, evaluation, the report
``recipes``   whole runs with all their settings
``commands``  what the command line (``cli``) can do, one command a file
``book``      what the chapters need besides
============  ==============================================================================

The methods in reading order: :mod:`~wsss_lib.methods.cam` (a classifier and its class activation maps),
:mod:`~wsss_lib.methods.advcam` (anti-adversarial climbing), :mod:`~wsss_lib.methods.mean_field`,
:mod:`~wsss_lib.methods.crf` and :mod:`~wsss_lib.methods.seeds` (from maps to confident labels),
:mod:`~wsss_lib.methods.amn` (per-pixel classification and label conditioning), :mod:`~wsss_lib.methods.deeplab`
(the segmentation network).

Tensor names end in their shape:

======  ==========================================================
``N``   photos of a split
``B``   photos of a batch
``V``   views of a photo: itself and its mirror image
``P``   pairs of a photo and one of its classes
``K``   foreground classes
``L``   labels: the background and the ``K`` classes, background 0
``C``   channels
``HW``  pixels
``hw``  cells of the feature grid
``T``   climbing steps
======  ==========================================================

So ``logit_BKhw`` holds one logit for each photo, class and cell.
"""

import os

# Threads of a finished parallel loop that wait for the next one shall sleep and not spin: on a machine that does other work
# too, spinning takes the CPU from those that have something to do. GNU's OpenMP spins for some microseconds before, since on
# an idle machine the next loop comes sooner than a thread wakes up. It is read once, when PyTorch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

__version__ = "0.1.0"
