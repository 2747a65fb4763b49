import pytest
import torch

from recface.errors import RecfaceError
from recface.losses import weighted_sum


def test_sum_and_gradient():
    pixel, prior = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    total, values = weighted_sum({"pixel": pixel, "prior": prior}, {"pixel": 8.0, "prior": 0.5})
    total.backward()
    assert total.item() == 8 * 2 + 0.5 * 3
    assert (pixel.grad.item(), prior.grad.item()) == (8.0, 0.5)
    assert {name: value.item() for name, value in values.items()} == {"pixel": 2.0, "prior": 3.0}
    assert not any(value.requires_grad for value in values.values())


def test_weight_zero_keeps_even_nan_out():
    watched = torch.tensor(torch.nan, requires_grad=True)
    total, values = weighted_sum(
        {"pixel": watched, "prior": torch.tensor(3.0)}, {"pixel": 0.0, "prior": 1.0, "other": 0}
    )
    assert total.item() == 3.0
    assert values["pixel"].isnan()


@pytest.mark.parametrize(("value", "word"), [(torch.nan, "NaN"), (torch.inf, "infinite"), (-torch.inf, "infinite")])
def test_names_the_broken_term_and_the_step(value, word):
    terms = {"prior": torch.tensor(1.0), "pixel": torch.tensor(value)}
    with pytest.raises(RecfaceError, match=f"'pixel' is {word} at step 12"):
        weighted_sum(terms, {"prior": 1.0, "pixel": 1.0}, step=12)


@pytest.mark.parametrize(
    ("terms", "weights", "message"),
    [
        (["pixel"], {}, "'pixel' has no weight"),
        (["pixel"], {"pixel": 1.0, "kl": 2.0}, "'kl' has weight 2.0 but is not computed"),
        (["pixel"], {"pixel": 0.0}, "every loss term has weight 0"),
    ],
)
def test_terms_and_weights_must_agree(terms, weights, message):
    with pytest.raises(RecfaceError, match=message):
        weighted_sum({name: torch.tensor(1.0) for name in terms}, weights)
