"""Rows of similar length go through the module together."""

import pytest

from algorithms.workers.micro_batches import divided, partition_by_length


def test_every_row_once_longest_first_within_the_tokens_of_a_pass():
    lengths = [3, 9, 4, 4, 8, 1]
    parts = partition_by_length(lengths, 18)
    assert parts == [[1, 4], [2, 3, 0, 5]]
    assert all(len(part) * max(lengths[row] for row in part) <= 18 for part in parts)


def test_it_pads_less_than_parts_that_mix_lengths():
    lengths = [10, 100] * 20
    padded = sum(len(part) * max(lengths[row] for row in part) for part in partition_by_length(lengths, 400))
    assert padded == sum(lengths)


def test_a_row_that_fits_in_no_pass_is_refused():
    with pytest.raises(ValueError, match="a row of 11 tokens exceeds the 10 tokens of a pass"):
        partition_by_length([11], 10)


def test_ranks_with_fewer_parts_divide_theirs_until_all_have_as_many():
    parts = partition_by_length([5, 9, 7, 6], 36)
    assert parts == [[1, 2, 3, 0]]
    assert divided(parts, 3) == [[1], [2], [3, 0]]
    assert divided(parts, 1) == parts
    with pytest.raises(ValueError, match="4 rows are no 5 parts"):
        divided(parts, 5)
