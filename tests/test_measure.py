"""Accuracy, likelihood, calibration and entropy against slow loops."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdlab import measure
from kdlab.data import Data, Split
from kdlab.measure import (
    calibration_error,
    divergence,
    entropies,
    evaluate,
    features_of,
    fidelity,
    logits_of,
    pick_device,
    scores,
    softness,
    temperature_for,
)
from kdlab.models import build, evaluating, tap
from kdlab.train.method import CE
from tests import oracles
from tests.mutants import assert_caught


def case(n: int, c: int, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    """Return logits (n, c), float32, and labels that the largest logit hits now and then."""
    gen = torch.Generator().manual_seed(n * c)
    z = scale * torch.randn(n, c, generator=gen)
    y = torch.where(
        torch.rand(n, generator=gen) < 0.6, z.argmax(dim=1), torch.randint(c, (n,), generator=gen)
    )
    return z, y


def check_the_slow_loops(n: int = 200, c: int = 10, scale: float = 2.0) -> None:
    z, y = case(n, c, scale)
    q = [oracles.softmax(row) for row in oracles.rows(z)]
    top = [max(row) for row in q]
    right = [row.index(max(row)) == label for row, label in zip(q, y.tolist(), strict=True)]
    found = scores(z, y)
    assert found["accuracy"] == pytest.approx(100 * sum(right) / n)
    assert found["correct"].tolist() == right
    assert found["nll"] == pytest.approx(oracles.hard_loss(z, y.tolist()), rel=1e-9, abs=1e-12)
    assert found["entropy"] == pytest.approx(
        math.fsum(oracles.entropy(row) for row in q) / n, rel=1e-9, abs=1e-12
    )
    assert found["ece"] == pytest.approx(oracles.calibration_error(top, right), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("n", "c"), [(1, 2), (7, 3), (200, 10), (300, 100), (5, 1)])
@pytest.mark.parametrize("scale", [0.1, 2.0, 50.0])
def test_all_scores_equal_the_slow_loops(n: int, c: int, scale: float):
    check_the_slow_loops(n, c, scale)


def test_a_perfect_and_sure_student():
    y = torch.arange(10)
    found = scores(1e3 * nn.functional.one_hot(y).float(), y)
    assert (found["accuracy"], found["nll"], found["ece"]) == (100, 0, 0)
    assert found["entropy"] == pytest.approx(0, abs=1e-12)
    assert found["correct"].all()


def test_the_worst_student_is_sure_and_wrong():
    y = torch.arange(10)
    found = scores(1e3 * nn.functional.one_hot((y + 1) % 10).float(), y)
    assert (found["accuracy"], found["nll"], found["ece"]) == (0, 1000, 100)
    assert not found["correct"].any()


def test_a_student_that_knows_nothing_is_calibrated_when_it_says_so():
    y = torch.arange(10)
    found = scores(torch.zeros(10, 10), y)
    assert found["accuracy"] == 10  # it guesses class 0
    assert found["nll"] == pytest.approx(math.log(10))
    assert found["entropy"] == pytest.approx(math.log(10))
    assert found["ece"] == pytest.approx(0, abs=1e-9)


def test_full_confidence_shares_the_last_bin():
    confidence, correct = torch.tensor([1.0, 0.95]), torch.tensor([False, True])
    assert calibration_error(confidence.double(), correct) == pytest.approx(100 * 0.95 / 2)


def test_calibration_by_hand():
    """Two bins of two: |0.5 - 0.95| and |1 - 0.65|, half of the images in each: 40 %."""
    confidence = torch.tensor([0.94, 0.96, 0.64, 0.66], dtype=torch.float64)
    correct = torch.tensor([True, False, True, True])
    assert calibration_error(confidence, correct, bins=10) == pytest.approx(40)
    # One bin forgives what the bins do not: |0.75 - 0.8|.
    assert calibration_error(confidence, correct, bins=1) == pytest.approx(5)


def test_every_share_falls_into_one_bin():
    """With a thousand shares, 0 and 1 among them, and none correct, the error is their mean."""
    confidence = torch.linspace(0, 1, 1000, dtype=torch.float64)
    wrong = torch.zeros(1000, dtype=torch.bool)
    for bins in (1, 7, 15):
        assert calibration_error(confidence, wrong, bins) == pytest.approx(50)


def test_scores_are_computed_in_double_precision():
    """1 - q is 2e-9 here, less than float32 can tell from 0."""
    found = scores(torch.tensor([[20.0, 0.0]]), torch.tensor([0]))
    assert found["nll"] == pytest.approx(math.log1p(math.exp(-20)), rel=1e-6)


def test_plain_numbers_come_back():
    found = scores(*case(20, 3))
    assert [type(found[name]) for name in ("accuracy", "nll", "ece", "entropy")] == [float] * 4
    assert isinstance(found["correct"], np.ndarray)
    assert found["correct"].dtype == bool
    assert found["correct"].shape == (20,)


@pytest.mark.parametrize(
    ("y", "told"), [([0, -1, 2, -1], "2 of 4 images have no label"), ([], "0 of 0 images")]
)
def test_images_without_a_label_cannot_be_measured(y: list[int], told: str):
    with pytest.raises(ValueError, match=f"{told}.*measure on data.val or data.test"):
        scores(torch.zeros(len(y), 3), torch.tensor(y, dtype=torch.long))


# --- networks -----------------------------------------------------------------------------------

NEAR = {"cpu": 1e-4, "cuda": 0.02}  # float32 in other orders; convolutions on CUDA round to TF32


class Doubled(nn.Module):
    """A method whose prediction is not its forward pass."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def predict(self, x: Tensor) -> Tensor:
        return 2 * self.net(x)


def test_logits_come_in_order_and_in_eval_mode_whatever_the_batch(data: Data, device: str):
    net, near = build("cnn4", 10, seed=0), NEAR[device]
    with torch.no_grad():
        expected = net.eval()(data.val.x)
    for batch in (1000, 500, 64):
        found = logits_of(net.train(), data.val.x, device, batch=batch)
        assert found.device.type == "cpu"
        assert not found.requires_grad
        torch.testing.assert_close(found, expected, rtol=near, atol=near)
        torch.testing.assert_close(
            logits_of(Doubled(net), data.val.x, device), 2 * expected, rtol=near, atol=near
        )


def test_evaluate_is_the_scores_of_the_logits(data: Data, device: str):
    method = CE(build("cnn4", 10, seed=0))
    found = evaluate(method, data.val, device)
    expected = scores(logits_of(method, data.val.x, device), data.val.y)
    assert found.pop("correct").tolist() == expected.pop("correct").tolist()
    assert found == pytest.approx(expected, rel=NEAR[device])
    on_device = Split(*(part.to(device) for part in data.val))
    assert evaluate(method, on_device, device)["nll"] == pytest.approx(
        expected["nll"], rel=NEAR[device]
    )


def test_the_mode_of_every_part_and_the_statistics_are_restored(data: Data, device: str):
    method = CE(build("cnn4", 10, seed=0))
    for training in (True, False):
        method.train(training)
        next(part for part in method.modules() if isinstance(part, nn.BatchNorm2d)).eval()
        modes = [part.training for part in method.modules()]
        state = {name: value.clone() for name, value in method.state_dict().items()}
        evaluate(method, data.val, device)
        assert [part.training for part in method.modules()] == modes
        after = method.state_dict()
        assert all(torch.equal(after[name], state[name]) for name in state)


def test_the_method_stays_on_its_device(data: Data, device: str):
    """A callback may measure on another device than the one that trains."""
    method = CE(build("cnn4", 10, seed=0)).to(device)
    for where in ("cpu", "auto"):
        evaluate(method, data.val, where)
        assert {value.device.type for value in method.state_dict().values()} == {device}


def test_measuring_draws_no_random_number(data: Data):
    before = torch.get_rng_state()
    evaluate(CE(build("cnn4", 10, seed=0)), data.val)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_device_is_taken_by_its_name_or_the_best_there_is(monkeypatch: pytest.MonkeyPatch):
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    for cuda, mps, best in ((1, 1, "cuda"), (1, 0, "cuda"), (0, 1, "mps"), (0, 0, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=cuda: bool(found))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda found=mps: bool(found))
        assert pick_device().type == best


# --- mutants ------------------------------------------------------------------------------------

MUTANTS = {
    "accuracy as a share": (scores, "100 * correct", "1 * correct"),
    "entropy without its sign": (entropies, "torch.special.entr", "-torch.special.entr"),
    "entropy averaged over classes": (entropies, ".sum(dim=1)", ".mean(dim=1)"),
    "entropy of the logarithms": (entropies, "log_p.exp()", "log_p"),
    "likelihood of the guess": (scores, "F.nll_loss(log_q, y)", "F.nll_loss(log_q, guess)"),
    "confidence of the label": (
        scores,
        "calibration_error(confidence, correct)",
        "calibration_error(q.gather(1, y[:, None])[:, 0], correct)",
    ),
    "bins not weighted": (calibration_error, "/ len(confidence)", "/ bins"),
    "gaps cancel between bins": (calibration_error, "np.abs(gap).sum()", "np.abs(gap.sum())"),
    "ten bins": (calibration_error, "confidence * bins", "confidence * 10"),
    "gaps within a bin do not cancel": (
        calibration_error,
        "(confidence - correct.double()).numpy()",
        "(confidence - correct.double()).abs().numpy()",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_score_is_caught(name: str):
    assert_caught(*MUTANTS[name], by=[check_the_slow_loops])


def test_training_mode_while_measuring_is_caught(data: Data):
    def check() -> None:
        test_the_mode_of_every_part_and_the_statistics_are_restored(data, "cpu")

    for old, new in [("= False", "= True"), ("part.training = mode", "part.training = True")]:
        assert_caught(evaluating, old, new, by=[check])


def test_features_are_those_of_the_tap_in_eval_mode(data: Data):
    net, x = build("cnn2", 10, seed=0), data.val.x[:30]
    expected = tap(net.eval(), x, "block2")[1]["block2"].detach()
    statistics = net.block1[1].running_mean.clone()
    for batch in (7, 500):
        found = features_of(net.train(), x, "block2", "cpu", batch=batch)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert not found.requires_grad and net.training
    assert torch.equal(net.block1[1].running_mean, statistics)
    with pytest.raises(ValueError, match="no tap 'block9'"):
        features_of(net, x, "block9")


# --- several networks ---------------------------------------------------------------------------


def three(k: int = 3) -> list[nn.Module]:
    """Return nets that are as sure of themselves as trained ones, one more than the other."""
    nets = [build("cnn2", 10, seed=seed) for seed in range(k)]
    for scale, net in enumerate(nets, start=3):
        net.linear.weight.data *= scale**2
    return nets


def test_members_are_measured_one_by_one_and_as_one(data: Data, device: str):
    nets, part = three(), Split(*(column[:150] for column in data.test))
    found = measure.evaluate_members(nets, part, device)
    each = [measure.evaluate(net, part, device) for net in nets]
    for key in ("accuracy", "nll", "ece", "entropy"):
        assert found[key] == pytest.approx(np.mean([one[key] for one in each]))
    assert found["accuracies"].tolist() == [one["accuracy"] for one in each]
    shares = np.mean([one["correct"] for one in each], axis=0)
    assert found["correct"] == pytest.approx(shares) and found["correct"].shape == (150,)
    rows = [[oracles.softmax(z) for z in oracles.rows(logits_of(net, part.x))] for net in nets]
    right = apart = of_two = mixed = 0.0
    for label, *q in zip(part.y.tolist(), *rows, strict=True):
        together = [math.fsum(column) for column in zip(*q, strict=True)]
        right += together.index(max(together)) == label
        mixed += oracles.entropy([p / 3 for p in together])
        for one, two in itertools.combinations(q, 2):
            both = [s + t for s, t in zip(one, two, strict=True)]
            of_two += (both.index(max(both)) == label) / 3
        a, b, c = (one.index(max(one)) for one in q)
        apart += ((a != b) + (a != c) + (b != c)) / 3
    assert found["ensemble"] == pytest.approx(100 * right / 150)
    assert found["disagreement"] == pytest.approx(100 * apart / 150)
    assert found["ensemble of 2"] == pytest.approx(100 * of_two / 150)
    assert found["ensemble entropy"] == pytest.approx(mixed / 150, rel=1e-6)


def test_one_member_is_its_own_ensemble(data: Data):
    found = measure.evaluate_members(three(1), data.val)
    assert found["ensemble"] == found["ensemble of 2"] == found["accuracy"]
    assert found["disagreement"] == 0
    assert found["ensemble entropy"] == pytest.approx(found["entropy"])


def slow_cka(f: list[list[float]], g: list[list[float]]) -> float:
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with K = F F^T centred on both sides."""

    def centred(rows: list[list[float]]) -> list[list[float]]:
        n = len(rows)
        k = [[math.fsum(a * b for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]
        row = [math.fsum(line) / n for line in k]
        mean = math.fsum(row) / n
        return [[k[i][j] - row[i] - row[j] + mean for j in range(n)] for i in range(n)]

    def hsic(k: list[list[float]], h: list[list[float]]) -> float:
        return math.fsum(
            a * b for x, y in zip(k, h, strict=True) for a, b in zip(x, y, strict=True)
        )

    k, h = centred(f), centred(g)
    return hsic(k, h) / math.sqrt(hsic(k, k) * hsic(h, h))


def test_cka_equals_the_slow_oracle_and_knows_its_invariances():
    f, g = (case(30, c)[0].double() for c in (5, 8))
    assert measure.cka(f, g) == pytest.approx(slow_cka(f.tolist(), g.tolist()), rel=1e-9)
    assert measure.cka(f, f) == pytest.approx(1)
    turn = torch.linalg.qr(case(5, 5)[0].double())[0]
    assert measure.cka(3 * f @ turn + 1, g) == pytest.approx(measure.cka(f, g))
    assert measure.cka(g, f) == pytest.approx(measure.cka(f, g))
    stretched = f * torch.tensor([5.0, 1, 1, 1, 1])
    assert abs(measure.cka(stretched, f) - 1) > 0.01  # rotation and scale only
    assert measure.cka(f.reshape(30, 5, 1, 1), g) == measure.cka(f, g)  # maps are flattened


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 12345.678, 1e8 + 0.1])
@pytest.mark.parametrize("n", [1, 7, 30, 1000])
def test_cka_of_features_that_do_not_differ_is_refused(value: float, n: int):
    """The mean of equal numbers is often not this number, but a neighbour of it."""
    constant, other = torch.full((n, 5), value, dtype=torch.float64), case(n, 4)[0]
    for f, g in [(constant, other), (other, constant), (constant.float(), constant.half())]:
        with pytest.raises(ValueError, match="equal for all images"):
            measure.cka(f, g)


def test_cka_needs_the_same_images():
    with pytest.raises(ValueError, match="same images"):
        measure.cka(torch.rand(4, 3), torch.rand(5, 3))


def test_members_that_are_sure_have_no_entropy():
    """exp(-800) is 0, and 0 log 0 is 0."""
    z = torch.tensor([[[400.0, -400.0]], [[400.0, -400.0]]])
    found = measure.members(z, torch.tensor([0]))
    assert found["ensemble entropy"] == found["entropy"] == found["nll"] == 0
    opposed = measure.members(torch.stack([z[0], -z[0]]), torch.tensor([0]))
    assert opposed["ensemble entropy"] == pytest.approx(math.log(2))
    assert opposed["disagreement"] == 100


@pytest.mark.parametrize(
    ("target", "old", "new", "check"),
    [
        ("cka", " - f.mean(dim=0)", "", "cka"),
        ("cka", "(f.T @ f).norm()", "f.norm()", "cka"),
        ("cka", "f - f[:1], g - g[:1]", "f, g", "constant"),
        ("members", "scores(q.mean(dim=0).log(), y)", "scores(z.mean(dim=0), y)", "members"),
        ("members", "(q[a] + q[b]).log()", "z[a] + z[b]", "members"),
        (
            "members",
            "combinations(range(len(z)), 2)",
            "product(range(len(z)), repeat=2)",
            "members",
        ),
        ("members", "np.mean([member[key] for", "np.max([member[key] for", "members"),
    ],
)
def test_a_wrong_measure_of_several_is_caught(
    target: str, old: str, new: str, check: str, data: Data
):
    checks = {
        "cka": test_cka_equals_the_slow_oracle_and_knows_its_invariances,
        "constant": partial(test_cka_of_features_that_do_not_differ_is_refused, 0.1, 1000),
        "members": partial(test_members_are_measured_one_by_one_and_as_one, data, "cpu"),
    }
    assert_caught(getattr(measure, target), old, new, by=[checks[check]])


# --- how closely a student follows, how unsure a teacher is ---------------------------------------


@pytest.mark.parametrize(("n", "c"), [(1, 2), (7, 3), (200, 10)])
def test_fidelity_equals_the_slow_loops(n: int, c: int):
    (z_s, _), (z_t, _) = case(n, c), case(n + 1, c, scale=4.0)
    students, teachers = ([oracles.softmax(r) for r in oracles.rows(z)] for z in (z_s, z_t[:n]))
    pairs = list(zip(students, teachers, strict=True))
    same = sum(q.index(max(q)) == p.index(max(p)) for q, p in pairs)
    found = fidelity(z_s, z_t[:n])
    assert found.agreement == pytest.approx(100 * same / n)
    assert found.kl == pytest.approx(math.fsum(oracles.kl(p, q) for q, p in pairs) / n, rel=1e-9)


def test_fidelity_of_a_perfect_student():
    z, _ = case(50, 10)
    assert fidelity(z, z).agreement == 100
    assert abs(fidelity(z + 3, z).kl) < 1e-9
    assert fidelity(1e4 * z, z).kl > 1 and math.isfinite(fidelity(1e4 * z, z).kl)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((0, 3), (0, 3)), ((3,), (3,))])
def test_fidelity_needs_answers_to_the_same_images(shapes: tuple[tuple[int, ...], ...]):
    with pytest.raises(ValueError, match=r"both must be \(N, C\), equal and not empty"):
        fidelity(*(torch.zeros(shape) for shape in shapes))


@pytest.mark.parametrize("T", [0.5, 1.0, 4.0])
def test_softness_equals_the_slow_loop_and_is_bounded(T: float):
    z, _ = case(30, 10)
    slow = [oracles.entropy(oracles.softmax(row, T)) for row in oracles.rows(z)]
    assert softness(z, T) == pytest.approx(math.fsum(slow) / 30, rel=1e-9)
    assert 0 < softness(z, T) < math.log(10) == pytest.approx(softness(torch.zeros(3, 10), T))
    assert softness(z, T) < softness(z, 2 * T)


@pytest.mark.parametrize("T", [0.05, 1.0, 4.0, 300.0])
def test_the_temperature_is_found_again(T: float):
    z, _ = case(30, 10)
    assert temperature_for(z, softness(z, T)) == pytest.approx(T, rel=1e-6)
    assert temperature_for(5 * z, softness(z, T)) == pytest.approx(5 * T, rel=1e-6)


@pytest.mark.parametrize("T", [0.0, -1.0, math.nan, math.inf])
def test_softness_needs_a_temperature_above_zero(T: float):
    with pytest.raises(ValueError, match="temperature") as error:
        softness(torch.zeros(2, 3), T)
    assert str(T) in str(error.value) and "\n" not in str(error.value)


# --- classes that are ruled out: a logit of -inf is a probability of 0 ---------------------------


def ruled_out(n: int = 30, c: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Return two tables of logits and labels whose last class nobody names."""
    (z_s, y), (z_t, _) = case(n, c), case(n + 1, c, scale=4.0)
    masked = [z.index_fill(1, torch.tensor([c - 1]), -math.inf) for z in (z_s, z_t[:n])]
    return masked[0], masked[1], y.clamp(max=c - 2)


def test_what_is_ruled_out_by_both_counts_in_no_measure():
    z_s, z_t, y = ruled_out()
    few_s, few_t = z_s[:, :-1], z_t[:, :-1]
    assert fidelity(z_s, z_t) == pytest.approx(fidelity(few_s, few_t))
    for T in (0.5, 1.0, 4.0):
        assert softness(z_t, T) == pytest.approx(softness(few_t, T))
    assert temperature_for(z_t, 1.0) == pytest.approx(temperature_for(few_t, 1.0))
    found, expected = scores(z_s, y), scores(few_s, y)
    assert found.pop("correct").tolist() == expected.pop("correct").tolist()
    assert found == pytest.approx(expected)
    found = measure.members(torch.stack([z_s, z_t]), y)
    expected = measure.members(torch.stack([few_s, few_t]), y)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name


def test_what_the_teacher_alone_rules_out_counts_as_0_log_0():
    z_s, z_t = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[2.0, 0.0, -math.inf]])
    q, p = oracles.softmax([1.0, 2.0, 0.0]), oracles.softmax([2.0, 0.0, -math.inf])
    assert fidelity(z_s, z_t).kl == pytest.approx(oracles.kl(p, q))
    assert softness(z_t, 2.0) == pytest.approx(oracles.entropy(oracles.softmax([1.0, 0.0])))
    assert fidelity(z_t, z_s).kl == math.inf  # this student rules out what is taught
    mixed = measure.members(torch.stack([z_s, z_t]), torch.tensor([0]))
    mean = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    assert mixed["ensemble entropy"] == pytest.approx(oracles.entropy(mean))


def test_a_label_that_is_ruled_out_is_infinitely_unlikely():
    found = scores(torch.tensor([[2.0, 0.0, -math.inf]]), torch.tensor([2]))
    assert (found["nll"], found["accuracy"]) == (math.inf, 0)
    assert math.isfinite(found["entropy"]) and math.isfinite(found["ece"])


@pytest.mark.parametrize(
    ("target", "old", "new"),
    [
        (divergence, "torch.where(p > 0, log_p - log_q, 0)", "log_p - log_q"),
        (entropies, "torch.special.entr(log_p.exp())", "-(log_p.exp() * log_p)"),
    ],
)
def test_0_log_0_that_is_no_number_is_caught(target, old: str, new: str):
    both = test_what_is_ruled_out_by_both_counts_in_no_measure
    alone = test_what_the_teacher_alone_rules_out_counts_as_0_log_0
    assert_caught(target, old, new, by=[both, alone])


@pytest.mark.parametrize("entropy", [-1.0, 0.0, math.log(10), 5.0, math.nan])
def test_an_entropy_out_of_reach_is_refused(entropy: float):
    with pytest.raises(ValueError, match="but these logits reach"):
        temperature_for(case(30, 10)[0], entropy)


def test_even_logits_have_no_such_temperature():
    with pytest.raises(ValueError, match="but these logits reach"):
        temperature_for(torch.zeros(4, 3), 0.5)


follows = partial(test_fidelity_equals_the_slow_loops, n=7, c=3)
FOLLOWING = {
    "student first": (fidelity, "in (z_s, z_t))", "in (z_t, z_s))", follows),
    "mean over classes": (divergence, ".sum(dim=1)", ".mean(dim=1)", follows),
    "weighed by the student": (divergence, "p = log_p.exp()", "p = log_q.exp()", follows),
    "agreement as a share": (fidelity, "100 * same", "1 * same", follows),
    "T multiplies": (
        softness,
        "z.double() / T",
        "z.double() * T",
        partial(test_softness_equals_the_slow_loop_and_is_bounded, T=4.0),
    ),
    "halves the wrong way": (
        temperature_for,
        "< entropy else",
        "> entropy else",
        partial(test_the_temperature_is_found_again, T=4.0),
    ),
}


@pytest.mark.parametrize("name", FOLLOWING)
def test_a_wrong_distance_is_caught(name: str):
    target, old, new, check = FOLLOWING[name]
    assert_caught(target, old, new, by=[check])


def test_logits_that_are_no_numbers_are_named() -> None:
    z = torch.zeros(4, 3)
    z[1] = math.nan
    with pytest.raises(FloatingPointError, match="the logits are no numbers"):
        scores(z, torch.tensor([0, 1, 2, 0]))


# --- members whose posteriors underflow, or rule out a class --------------------------------------


def test_members_that_are_sure_have_an_ensemble_of_no_entropy():
    z = torch.tensor([[[400.0, -400.0]], [[400.0, -400.0]]])
    found = measure.members(z, torch.tensor([0]))
    assert (found["ensemble"], found["ensemble of 2"], found["disagreement"]) == (100, 100, 0)
    assert (found["ensemble entropy"], found["entropy"], found["nll"]) == (0, 0, 0)
    apart = measure.members(torch.stack([z[0], -z[0]]), torch.tensor([0]))
    assert apart["ensemble entropy"] == pytest.approx(math.log(2))
    assert (apart["entropy"], apart["disagreement"]) == (0, 100)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_members_may_rule_out_a_class(dtype: torch.dtype):
    """Class 2 is ruled out by both members, class 1 by the first alone."""
    no = -math.inf
    z = torch.tensor([[[1.0, no, no, 0.0]], [[0.0, 2.0, no, 1.0]]], dtype=dtype)
    rows = [oracles.softmax(member[0]) for member in oracles.rows(z.float())]
    found = measure.members(z, torch.tensor([0]))
    mixed = [(p + q) / 2 for p, q in zip(*rows, strict=True)]
    assert found["ensemble entropy"] == pytest.approx(oracles.entropy(mixed), rel=1e-9)
    each = [oracles.entropy(row) for row in rows]
    assert found["entropy"] == pytest.approx(math.fsum(each) / 2, rel=1e-9)
    assert found["nll"] == pytest.approx(-math.fsum(math.log(row[0]) for row in rows) / 2)


def test_an_entropy_of_members_that_is_no_number_is_caught():
    by = [
        test_members_that_are_sure_have_an_ensemble_of_no_entropy,
        partial(test_members_may_rule_out_a_class, torch.float32),
    ]
    assert_caught(entropies, "torch.special.entr(log_p.exp())", "-(log_p.exp() * log_p)", by=by)
