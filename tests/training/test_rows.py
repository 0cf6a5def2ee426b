"""Stacks of named rows: sums by name, as matrices."""

from __future__ import annotations

import pytest
import torch

from training.rows import ONE, Stacks, composed, plus, terms, times

pytestmark = pytest.mark.training


def test_a_linear_map_is_the_sum_that_its_terms_name() -> None:
    stacks = Stacks()
    stacks.linear("both", [{"a": 2.0, "b": -1.0}, {"b": 0.5, ONE: 3.0}], ("a", "b"))
    given = torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]], dtype=torch.float64)
    assert stacks.mapped("both", given).tolist() == [[-8.0, -16.0, -24.0], [8.0, 13.0, 18.0]]


def test_a_row_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"\['c'\] are no rows"):
        Stacks().linear("both", [terms("a", "c")], ("a", "b"))


def test_sums_of_sums_are_sums() -> None:
    of = {"x": terms("a", b=2.0), "y": terms("b")}
    assert composed({"x": 1.0, "y": -2.0}, of) == {"a": 1.0, "b": 0.0}
    assert plus(terms("a"), times(3.0, terms("a", "b"))) == {"a": 4.0, "b": 3.0}


def test_every_number_of_the_module_is_exact_in_the_graph() -> None:
    stacks = Stacks()
    stacks.constant("third", 1.0 / 3.0)
    stacks.column("tenths", (0.1, 0.2))
    assert stacks.get_buffer("third").item() == 1.0 / 3.0
    assert stacks.get_buffer("tenths").tolist() == [[0.1], [0.2]]
