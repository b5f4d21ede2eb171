"""A proof that two losses are the same fails where they are not, and where it proves nothing."""

import re

import pytest
import torch
import torch.nn.functional as F

from kdlab.papers.kd.method import kd_loss
from kdlab.show import proof
from kdlab.show.proof import agree
from tests.mutants import assert_caught

SOURCE = torch.Generator().manual_seed(0)
Z, V = torch.randn(2, 16, 10, generator=SOURCE).unbind()
CASES = [(Z, V, T) for T in (1.0, 4.0, 20.0)]


def mine(z_s, z_t, T):
    """The loss of Hinton, Vinyals, Dean 2015, section 2, from sums."""
    p, q = F.softmax(z_t / T, dim=1), F.softmax(z_s / T, dim=1)
    return T**2 * (p * (p.log() - q.log())).sum(dim=1).mean()


def test_the_same_loss_in_other_words(capsys):
    agree(mine, kd_loss, CASES)
    assert capsys.readouterr().out == "notebook and package: same value, same gradient (3 cases)\n"
    agree(mine, kd_loss, CASES[:1])
    assert "(1 case)" in capsys.readouterr().out


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("what", "slip"),
    [
        ("value", lambda loss: loss + 1e-4 * loss.detach()),
        ("value", lambda loss: loss * torch.nan),
        ("gradient", lambda loss: 1.0001 * loss - 0.0001 * loss.detach()),
        ("gradient", lambda loss: loss.detach()),
        ("gradient", lambda loss: loss.detach() - loss + loss.detach()),
    ],
)
def test_a_slip_is_named_with_its_case(capsys, what, slip, first):
    def slipped(z_s, z_t, T):
        loss = mine(z_s, z_t, T)
        return slip(loss) if T == 4 else loss

    pair = (slipped, kd_loss) if first else (kd_loss, slipped)
    with pytest.raises(AssertionError, match=f"case 2 of 3: another {what}"):
        agree(*pair, CASES)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("size", [1e-4, 1e3])
def test_small_and_large_losses_are_held_to_the_same_share(size):
    def quadratic(z):
        return size * (z**2).sum()

    agree(quadratic, lambda z: size * (z * z).sum(), [(Z,)])
    with pytest.raises(AssertionError, match="value"):
        agree(quadratic, lambda z: 1.0001 * quadratic(z), [(Z,)])


def test_one_wrong_entry_is_enough():
    def slipped(z_s, z_t, T):
        one = z_s[3, 4]
        return mine(z_s, z_t, T) + 1e-4 * (one - one.detach())

    with pytest.raises(AssertionError, match="gradient"):
        agree(slipped, kd_loss, CASES)


def test_another_argument_and_lists_of_tensors():
    def peers(zs, k, wrong=False):
        others = [z if wrong else z.detach() for i, z in enumerate(zs) if i != k]
        return sum(mine(zs[k], z, 1.0) for z in others)

    agree(peers, lambda zs, k: peers(zs, k), [([Z, V], 0), ((Z, V, Z + 1), 2)])
    with pytest.raises(AssertionError, match="gradient"):  # it flows into the peer
        agree(peers, lambda zs, k: peers(zs, k, wrong=True), [([Z, V], 0)])
    agree(lambda a, z: (a * z).sum(), lambda a, z: (z * a).sum(), [(2, Z)], wrt=1)


def test_the_arguments_stay_as_they_are():
    z, v = Z.half().requires_grad_(), V.clone()
    agree(mine, kd_loss, [(z, v, 2.0)])
    assert z.dtype == torch.float16 and z.grad is None
    assert torch.equal(v, V) and not v.requires_grad


@pytest.mark.parametrize(
    ("error", "word", "arguments"),
    [
        (ValueError, "no case", (mine, kd_loss, [])),
        (TypeError, "tuple", (mine, kd_loss, [Z])),
        (TypeError, "one number", (lambda z: z, lambda z: z, [(Z,)])),
        (TypeError, "float", (lambda z: 1.0, lambda z: 1.0, [(Z,)])),
        (ValueError, "depends", (lambda z: z.detach().sum(), lambda z: z.sum().detach(), [(Z,)])),
        (ValueError, "floats", (lambda y: y.sum(), lambda y: y.sum(), [(torch.arange(3),)])),
        (ValueError, "floats", (mine, kd_loss, CASES, 2)),
        (ValueError, "floats", (mine, kd_loss, CASES, 3)),
        (ValueError, "floats", (lambda z: z, lambda z: z, [([],)])),
    ],
)
def test_what_would_prove_nothing_is_refused(error, word, arguments):
    with pytest.raises(error, match=re.escape(word)):
        agree(*arguments)


@pytest.mark.parametrize(
    ("target", "old", "new"),
    [
        (agree, '("value", "gradient")', '("value", "value")'),
        (agree, "rtol * size", "1e-2 * size"),
        (proof._value_and_gradient, "torch.cat(flat)", "torch.zeros(1)"),
        (proof._value_and_gradient, "value.detach().double()", "torch.zeros(())"),
    ],
)
def test_a_blind_proof_is_noticed(target, old, new):
    def check():
        slips = [
            lambda loss: loss + 1e-4 * loss.detach(),
            lambda loss: 1.0001 * loss - 0.0001 * loss.detach(),
        ]
        words = ["value", "gradient"]
        for word, slip in zip(words, slips, strict=True):
            with pytest.raises(AssertionError, match=f"another {word}"):
                agree(mine, lambda *case, slip=slip: slip(kd_loss(*case)), CASES)

    assert_caught(target, old, new, by=[check])
