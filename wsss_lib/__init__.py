"""Weakly supervised semantic segmentation: from image tags to pixel masks.

The modules in reading order: :mod:`~wsss_lib.cam` (a classifier and its class activation maps), :mod:`~wsss_lib.advcam`
(anti-adversarial climbing), :mod:`~wsss_lib.mean_field`, :mod:`~wsss_lib.crf` and :mod:`~wsss_lib.seeds` (from maps to
confident labels),
:mod:`~wsss_lib.amn` (per-pixel classification and label conditioning), :mod:`~wsss_lib.deeplab` (the segmentation network).
They take tensors and return tensors. :mod:`~wsss_lib.stages` runs the same functions file in, file out.

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

__version__ = "0.1.0"
