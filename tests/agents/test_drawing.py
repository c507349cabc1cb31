"""Draws by inverting the cumulative distribution: the same token as the plain definition gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.drawing import draw


@pytest.mark.parametrize("vocabulary", [5, 256, 300, 1024])
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_a_draw_is_the_first_token_whose_cumulative_probability_exceeds_its_number(vocabulary, temperature):
    rng = np.random.default_rng(vocabulary)
    logits = torch.from_numpy(rng.normal(0, 2, (6, vocabulary)))
    of, uniform = rng.integers(0, 6, 200), rng.random(200)
    drawn = draw(logits, torch.from_numpy(of), torch.from_numpy(uniform), temperature)
    log_probs = torch.log_softmax(logits.float() / temperature, dim=-1).double().numpy()
    cumulative = np.exp(log_probs).cumsum(1)
    wanted = zip(cumulative[of], uniform, strict=True)
    expected = [np.searchsorted(row, number * row[-1], side="right") for row, number in wanted]
    assert drawn.token_r.tolist() == expected
    np.testing.assert_allclose(drawn.logprob_r, log_probs[of, expected], atol=1e-5)
    np.testing.assert_allclose(drawn.entropy_r, -(np.exp(log_probs) * log_probs).sum(1)[of], atol=1e-5)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_ends_of_the_unit_interval_never_point_at_an_impossible_token(uniform):
    logits = torch.full((1, 600), -torch.inf)
    logits[0, [270, 520]] = 0.0
    drawn = draw(logits, torch.tensor([0]), torch.tensor([uniform], dtype=torch.float64), 1.0)
    assert drawn.token_r.tolist() == [270 if uniform == 0 else 520]


def test_greedy_takes_the_likeliest():
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, 1.0, 1.0]])
    drawn = draw(logits, torch.tensor([1, 0]), torch.tensor([0.99, 0.99], dtype=torch.float64), 0.0)
    assert drawn.token_r.tolist() == [0, 1]
