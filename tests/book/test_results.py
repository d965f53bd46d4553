"""The README and the book say what was measured."""

import importlib.util
import json

from tests.test_house import ROOT

SPEC = importlib.util.spec_from_file_location("show_results", ROOT / "book/show_results.py")
show_results = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(show_results)


def test_the_table_of_the_readme_is_the_measured_one():
    readme = (ROOT / "README.md").read_text()
    results = json.loads(show_results.RESULTS.read_text())
    table = show_results.results_table(results)
    assert show_results.stamp(readme, table) == readme
    assert len(table.splitlines()) > 10


def test_every_claim_holds_for_every_seed():
    """The bars: what the worst of three seeds has to show. mIoU points, or percent."""
    results = json.loads(show_results.RESULTS.read_text())["seeds"]
    assert len(results) == 3
    spec = importlib.util.spec_from_file_location("evidence", ROOT / "book/evidence.py")
    evidence = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(evidence)
    at_least = {
        "classifier: val mAP": 94,
        "AdvCAM - CAM": 1.5,
        "AdvCAM - CAM, after CRF": 5,
        "CRF on CAM": 8,
        "AMN - CAM": 4.5,
        "AMN - CAM, after CRF": 3.5,
        "AMN: thresholds at or above CAM's best (%)": 35,
        # a share of the predicted foreground, so that it does not depend on how large objects are
        "foreground on absent classes without (%)": 0.8,
        "segmenter from AdvCAM - from CAM": 2,
        "segmenter, val, from true masks": 71,
        "lambda 0: fall from peak, T x 3": 2,
        "lambda 0: fall at CAM's threshold": 7,
    }
    at_most = {"foreground on absent classes with LC (%)": 0.2, "lambda: fall from peak, T x 3": 2}
    claims = evidence.claims()
    for seed, figures in results.items():
        for name, bar in at_least.items():
            assert claims[name](figures) >= bar, (seed, name)
        for name, bar in at_most.items():
            assert claims[name](figures) <= bar, (seed, name)
