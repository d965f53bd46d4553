"""The page "What a run promises" names tests that are there."""

import ast
import re

from tests.faults.kills import ROOT


def test_every_promise_has_its_test():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "book/promises.md").read_text())
    assert len(named) >= 10
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert test in functions if test else any(name.startswith("test_") for name in functions), (
            file,
            test,
        )
