"""Teachers answer for the right image, never learn, and are loaded only when they are whole."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data, Split
from kdlab.fingerprint import fingerprint
from kdlab.models import build
from kdlab.papers.kd.method import KD
from kdlab.seeds import generator
from kdlab.store import cache_dir
from kdlab.train import teachers
from kdlab.train.fit import fit
from kdlab.train.frozen import LOGITS
from kdlab.train.recipe import Recipe
from kdlab.train.teachers import ENDS, Ensemble, Frozen, snapshots, teacher

SHORT = Recipe(epochs=3, shift=2)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # convolutions sum in another order in another batch size

DERIVED: dict[str, Callable[[Data], Data]] = {
    "as loaded": lambda data: data,
    "without_classes": lambda data: data.without_classes(3),
    "only_classes": lambda data: data.only_classes(0, 7),
    "take": lambda data: data.take(20),
    "with_unlabelled": lambda data: data.with_unlabelled(),
    "with_label_noise": lambda data: data.with_label_noise(0.4, seed=1),
    "without, then all": lambda data: data.without_classes(3).with_unlabelled(),
}
VIEWS: dict[str, Callable[[Data], Data]] = {
    "with_views": lambda data: data.with_views(4, 2, seed=0),
    "views of a part": lambda data: data.take(30).without_classes(1).with_views(3, 2, seed=5),
    "views of all": lambda data: data.with_unlabelled().with_views(2, 1, seed=0),
}


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give this test an empty store."""
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def trained(data: Data) -> nn.Module:
    """A network that knows something, so that its answers differ from image to image."""
    return teacher(data, "cnn4", SHORT).net


@pytest.fixture
def net(trained: nn.Module) -> nn.Module:
    """A copy of it for one test."""
    return copy.deepcopy(trained)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the seed of every training that `kdlab.train.teachers` starts."""
    seeds: list[int] = []

    def noted(method: nn.Module, data: Data, recipe: Recipe, seed: int, **options: Any) -> Any:
        seeds.append(seed)
        return fit(method, data, recipe, seed, **options)

    monkeypatch.setattr(teachers, "fit", noted)
    return seeds


def batch_of(split: Split, rows: Any = slice(None)) -> Batch:
    """Return rows of a split as a student sees them without augmentation."""
    return Batch(split.x[rows], split.y[rows], split.index[rows])


def shuffled_batches(split: Split, size: int = 37) -> list[Batch]:
    """Return the rows of `split` in batches, in a random order."""
    order = torch.randperm(len(split.y), generator=generator(0, "test"))
    return [batch_of(split, rows) for rows in order.split(size)]


def same(a: nn.Module, b: nn.Module) -> bool:
    """Tell whether two networks have the same weights and buffers, bit for bit."""
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


# --- the table


@pytest.mark.parametrize("derived", [*DERIVED, *VIEWS])
def test_a_stored_answer_is_the_forward_pass_of_this_image(
    data: Data, net: nn.Module, derived: str
) -> None:
    part = (DERIVED | VIEWS)[derived](data)
    frozen = Frozen(net, part)
    in_order = frozen(batch_of(part.train))
    assert not in_order.requires_grad and not in_order.isnan().any()
    place = {int(index): row for row, index in enumerate(part.train.index)}
    assert len(place) == len(part.train.y)
    for batch in shuffled_batches(part.train)[:12]:
        answer = frozen(batch)
        with torch.no_grad():
            torch.testing.assert_close(answer, net(batch.x), **CLOSE)
        rows = [place[int(index)] for index in batch.index]
        assert torch.equal(answer, in_order[rows])


@pytest.mark.parametrize("derived", DERIVED)
def test_a_teacher_of_the_whole_pool_serves_every_part_of_it(
    data: Data, net: nn.Module, derived: str
) -> None:
    frozen, part = Frozen(net, data), DERIVED[derived](data)
    for split in (part.train, part.unlabelled):
        batch = batch_of(split, slice(0, 64))
        with torch.no_grad():
            torch.testing.assert_close(frozen(batch), net(batch.x), **CLOSE)


def test_answers_differ_between_images(data: Data, net: nn.Module) -> None:
    z = Frozen(net, data)(batch_of(data.train))
    assert len(z.unique(dim=0)) == len(z)  # else the tests above could not see a wrong mapping


def swapped(data: Data) -> Batch:
    batch = batch_of(data.train, slice(0, 50))
    index = batch.index.clone()
    index[[10, 30]] = index[[30, 10]]
    return batch._replace(index=index)


WRONG: dict[str, Callable[[Data], Batch]] = {
    "two indices swapped": swapped,
    "every index moved by one": lambda data: batch_of(data.train)._replace(
        index=data.train.index.roll(1)
    ),
    "augmented, but said to be stored": lambda data: batch_of(data.train)._replace(
        x=data.train.x.roll(1, dims=3)
    ),
    "validation images": lambda data: batch_of(data.val),
    "views": lambda data: batch_of(data.with_views(4, 2, seed=0).train),
    "a dropped class": lambda data: batch_of(data.only_classes(3).train),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_other_images_than_the_stored_ones_are_refused(
    data: Data, net: nn.Module, wrong: str
) -> None:
    frozen = Frozen(net, data.without_classes(3))
    asked = data if "class" in wrong else data.without_classes(3)
    with pytest.raises(ValueError, match="no stored answer for these images"):
        frozen(WRONG[wrong](asked))


@pytest.mark.parametrize("stores", [True, False])
def test_augmented_images_get_a_forward_pass(data: Data, net: nn.Module, stores: bool) -> None:
    frozen = Frozen(net, data if stores else None)
    stored = batch_of(data.train, slice(0, 40))
    moved = stored._replace(x=SHORT.augment(stored.x, generator(0)), stored=False)
    with torch.no_grad():
        expected = net(moved.x)
    assert torch.equal(frozen(moved), expected)
    assert torch.equal(frozen(moved._replace(index=moved.index + 10**6)), expected)
    assert not torch.allclose(frozen(moved), frozen(stored), **CLOSE)


def test_a_teacher_without_a_table_answers_stored_images_too(data: Data, net: nn.Module) -> None:
    batch = batch_of(data.val, slice(0, 20))
    with torch.no_grad():
        assert torch.equal(Frozen(net)(batch), net(batch.x))


def test_answers_come_on_the_device_of_the_batch(data: Data, net: nn.Module, device: str) -> None:
    frozen, batch = Frozen(net, data), batch_of(data.train, slice(0, 20))
    expected = frozen(batch)
    there = Batch(batch.x.to(device), batch.y.to(device), batch.index.to(device))
    assert frozen(there).device.type == device
    torch.testing.assert_close(frozen(there).cpu(), expected)
    assert frozen(there._replace(stored=False)).device.type == device
    control = frozen.shuffled(generator(0))  # made from a table that has moved
    assert control(there).device.type == device
    assert torch.equal(frozen(batch), expected)  # and back again


# --- frozen


def student_of(frozen: Frozen, data: Data) -> KD:
    return KD(build("cnn2", data.n_classes, data.in_shape, seed=1), frozen)


def test_the_teacher_is_no_part_of_the_method(data: Data, net: nn.Module) -> None:
    method = student_of(Frozen(net, data), data)
    own = {name for name, _ in method.named_parameters()}
    assert own and all(name.startswith("student.") for name in own)
    assert all(name.startswith("student.") for name in method.state_dict())
    assert all(module is not net for module in method.modules())


@pytest.mark.parametrize("shift", [0, 2])
def test_training_leaves_the_teacher_as_it_was_bit_for_bit(
    data: Data, net: nn.Module, shift: int
) -> None:
    frozen, before = Frozen(net, data), copy.deepcopy(net)
    assert frozen.tables
    table, method = frozen.tables[LOGITS].clone(), student_of(frozen, data)
    untrained = copy.deepcopy(method.student)
    history = fit(method, data, Recipe(epochs=2, shift=shift))
    assert (history.soft > 0).all() and not same(method.student, untrained)
    assert same(net.cpu(), before) and net.training == before.training
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(frozen.tables[LOGITS].cpu().nan_to_num(), table.nan_to_num())


def test_a_teacher_travels_to_another_process(data: Data, net: nn.Module) -> None:
    frozen, batch = Frozen(net, data), batch_of(data.train)
    assert torch.equal(pickle.loads(pickle.dumps(frozen))(batch), frozen(batch))


def test_its_fingerprint_says_what_it_answers_and_not_where_it_is(
    data: Data, net: nn.Module, device: str
) -> None:
    frozen, twin = Frozen(net, data), Frozen(copy.deepcopy(net), data)
    first = fingerprint(frozen)
    assert fingerprint(twin) == first
    frozen(Batch(*(part.to(device) for part in batch_of(data.train)[:3]), stored=False))
    frozen(Batch(*(part.to(device) for part in batch_of(data.train)[:3])))
    assert fingerprint(frozen) == first
    controls = [frozen.shuffled(generator(seed)) for seed in (0, 0, 1)]
    told = [fingerprint(control) for control in controls]
    assert told[0] == told[1] and len({first, *told}) == 3
    assert fingerprint(Frozen(net, data.without_classes(3))) != first


# --- controls


def test_mapped_changes_the_stored_answers_of_the_right_images(data: Data, net: nn.Module) -> None:
    part = data.take(40).without_classes(3)
    frozen, seen = Frozen(net, part), []

    def change(z: Tensor, index: Tensor) -> Tensor:
        seen.append(index)
        assert z.shape == (len(index), 10) and not z.isnan().any()
        z *= 2  # in place: the first teacher must not notice
        return torch.cat([z, index[:, None].float()], dim=1)

    batch = shuffled_batches(part.train)[0]
    before = frozen(batch).clone()
    changed = frozen.mapped(change)
    pool = torch.cat([part.train.index, part.unlabelled.index])
    assert torch.equal(seen[0], pool.sort().values)
    assert torch.equal(frozen(batch), before)
    expected = torch.cat([2 * before, batch.index[:, None].float()], dim=1)
    assert torch.equal(changed(batch), expected)


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda z, _: z.argmax(dim=1), r"\(2500,\) torch.int64"),
        (lambda z, _: z[:5], r"\(5, 10\) torch.float32"),
        (lambda z, _: z.tolist(), "<class 'list'>"),
    ],
)
def test_changed_answers_that_are_no_logits_are_refused(
    data: Data, net: nn.Module, change, got: str
) -> None:
    with pytest.raises(ValueError, match=f"returned {got}; return real numbers, a row for each of"):
        Frozen(net, data).mapped(change)


def test_a_changed_teacher_recognises_stored_images(data: Data, net: nn.Module) -> None:
    changed = Frozen(net, data).mapped(lambda z, index: z)
    batch = batch_of(data.train)
    with pytest.raises(ValueError, match="no stored answer for these images"):
        changed(batch._replace(index=batch.index.roll(1)))


def test_a_teacher_without_a_table_cannot_be_changed(net: nn.Module) -> None:
    with pytest.raises(ValueError, match="stores no answers"):
        Frozen(net).shuffled(generator(0))


def test_shuffled_deals_the_same_answers_to_other_images(data: Data, net: nn.Module) -> None:
    part = data.without_classes(3).with_unlabelled()
    frozen, batch = Frozen(net, part), batch_of(part.train)
    true, dealt = frozen(batch), frozen.shuffled(generator(0))(batch)
    assert not dealt.isnan().any()
    order = true.unique(dim=0), dealt.unique(dim=0)
    assert torch.equal(*order)
    assert (true == dealt).all(dim=1).float().mean() < 0.01
    assert torch.equal(frozen.shuffled(generator(0))(batch), dealt)
    assert not torch.equal(frozen.shuffled(generator(1))(batch), dealt)


# --- several as one


def test_an_ensemble_answers_with_the_mean_of_the_logits(data: Data, net: nn.Module) -> None:
    members = [net, *(build("cnn2", 10, seed=seed).eval() for seed in (1, 2))]
    batch = batch_of(data.train, slice(0, 30))
    frozen = Frozen(Ensemble(members), data)
    with torch.no_grad():
        logits = [member(batch.x) for member in members]
    torch.testing.assert_close(frozen(batch), sum(logits) / 3, **CLOSE)
    geometric = torch.stack([z.softmax(1).log() for z in logits]).mean(0).exp()
    geometric /= geometric.sum(1, keepdim=True)
    torch.testing.assert_close(frozen(batch).softmax(1), geometric, **CLOSE)


# --- trained once, kept on disk


def test_a_teacher_is_trained_once(data: Data, own_cache: Path, fits: list[int]) -> None:
    first, again = (teacher(data, "cnn2", SHORT, seed=4) for _ in range(2))
    assert fits == [4] and same(first.net, again.net)
    batch = batch_of(data.train)
    assert torch.equal(first(batch), again(batch))


def stored(end: str) -> list[Path]:
    """Return the stored files of one of `ENDS`: those of weights, or those of answers."""
    paths = sorted((cache_dir() / "teachers").iterdir())
    answers = [path for path in paths if path.name.endswith(f"{ENDS[1]}.safetensors")]
    return answers if end == ENDS[1] else [path for path in paths if path not in answers]


def test_a_stored_teacher_costs_neither_a_training_nor_a_pass(
    data: Data, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(data.train)
    before = teacher(data, "cnn2", SHORT)(batch)
    for place in ("teachers.fit", "teachers.logits_of", "frozen.answers_of"):
        monkeypatch.setattr(f"kdlab.train.{place}", lambda *_, **__: pytest.fail("it was asked"))
    assert torch.equal(teacher(data, "cnn2", SHORT)(batch), before)


def test_another_teacher_is_another_file(data: Data, own_cache: Path, fits: list[int]) -> None:
    teacher(data, "cnn2", SHORT)
    teacher(data, "cnn2", SHORT, seed=1)
    teacher(data, "mlp30", SHORT)
    teacher(data, "cnn2", Recipe(epochs=3))
    teacher(data.take(50), "cnn2", SHORT)
    teacher(data.with_label_noise(0.2, seed=0), "cnn2", SHORT)
    assert [len(stored(end)) for end in ENDS] == [6, 6] and len(fits) == 6


def test_a_teacher_of_another_torch_is_another_file(
    data: Data, own_cache: Path, fits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher(data, "cnn2", SHORT)
    monkeypatch.setattr(torch, "__version__", "0.0")
    teacher(data, "cnn2", SHORT)
    assert len(fits) == 2


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(bytes(content))


def scribble_over_the_head(path: Path) -> None:
    path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:])


def exchange_the_weights(path: Path) -> None:
    with safetensors.safe_open(path, framework="pt") as file:
        told = file.metadata()
    state = {k: v + 1 for k, v in safetensors.torch.load_file(path).items()}
    safetensors.torch.save_file(state, path, metadata=told)


def forget_the_checksum(path: Path) -> None:
    safetensors.torch.save_file(safetensors.torch.load_file(path), path)


DAMAGES = [
    *(cut, empty, flip_a_bit),
    *(scribble_over_the_head, exchange_the_weights, forget_the_checksum),
]


@pytest.mark.parametrize("end", ENDS, ids=["weights", "answers"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_never_loaded(
    data: Data, own_cache: Path, fits: list[int], damage: Callable[[Path], None], end: str
) -> None:
    whole, batch = teacher(data, "cnn2", SHORT), batch_of(data.train)
    (path,) = stored(end)
    content = path.read_bytes()
    damage(path)
    assert path.read_bytes() != content
    with pytest.warns(UserWarning, match=f"{path.name} is damaged"):
        repaired = teacher(data, "cnn2", SHORT)
    assert len(fits) == 2 and same(whole.net, repaired.net)
    assert torch.equal(whole(batch), repaired(batch))
    old, mended = (safetensors.torch.load(found) for found in (content, path.read_bytes()))
    assert old and all(torch.equal(mended[name], value) for name, value in old.items())
    teacher(data, "cnn2", SHORT)
    assert len(fits) == 2


@pytest.mark.parametrize("end", ENDS, ids=["weights", "answers"])
def test_a_lost_file_is_made_again(
    data: Data, own_cache: Path, fits: list[int], end: str, recwarn: pytest.WarningsRecorder
) -> None:
    whole = teacher(data, "cnn2", SHORT)
    stored(end)[0].unlink()
    assert same(whole.net, teacher(data, "cnn2", SHORT).net) and len(fits) == 2
    assert [len(stored(end)) for end in ENDS] == [1, 1]
    assert not [warning for warning in recwarn if "damaged" in str(warning.message)]


def test_a_file_appears_whole_or_not_at_all(
    data: Data, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: Any) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
        patch.setattr("os.replace", no_space)
        teacher(data, "cnn2", SHORT)
    assert list((own_cache / "teachers").iterdir()) == []
    assert LOGITS in teacher(data, "cnn2", SHORT).tables


# --- snapshots


def test_snapshots_are_the_teacher_at_its_epochs(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: list[int]
) -> None:
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "one"))
    found = snapshots(data, "cnn2", SHORT, seed=2, at=[3, 0, 1, 1])
    assert list(found) == [0, 1, 3] and fits == [2]
    assert same(found[0].net, build("cnn2", data.n_classes, data.in_shape, seed=2))
    assert not same(found[1].net, found[0].net) and not same(found[1].net, found[3].net)
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "two"))
    assert same(teacher(data, "cnn2", SHORT, seed=2).net, found[3].net)
    assert fits == [2, 2]


def test_a_snapshot_equals_a_training_looked_at_by_hand(data: Data, own_cache: Path) -> None:
    seen = {}
    net = build("cnn2", data.n_classes, data.in_shape, seed=0)
    method = teachers.CE(net.to(memory_format=torch.channels_last))
    look = [lambda epoch, m: seen.update({epoch: copy.deepcopy(m.student)})]
    fit(method, data, SHORT, seed=0, on_epoch=look)
    for epoch, frozen in snapshots(data, "cnn2", SHORT, at=(1, 2, 3)).items():
        assert same(frozen.net.cpu(), seen[epoch].cpu())


def test_a_net_is_built_once_for_all_snapshots(
    data: Data, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []

    def noted(name: str, *shape: Any, seed: int) -> nn.Module:
        built.append(name)
        return build(name, *shape, seed=seed)

    monkeypatch.setattr(teachers, "build", noted)
    found = snapshots(data, "cnn2", SHORT, at=[0, 1, 2, 3])
    assert built == ["cnn2"] and len({id(one.net) for one in found.values()}) == 4
    state = build("cnn2", data.n_classes, data.in_shape, seed=0).state_dict()
    assert all(one.net.state_dict().keys() == state.keys() for one in found.values())


def test_snapshots_are_kept_and_added_to(data: Data, own_cache: Path, fits: list[int]) -> None:
    teacher(data, "cnn2", SHORT)
    snapshots(data, "cnn2", SHORT, at=[3])
    assert len(fits) == 1  # the last snapshot is the teacher
    first = snapshots(data, "cnn2", SHORT, at=[1, 3])
    assert len(fits) == 2
    again = snapshots(data, "cnn2", SHORT, at=[1])
    assert len(fits) == 2 and same(again[1].net, first[1].net)


def test_an_untrained_teacher_alone_costs_no_training(
    data: Data, own_cache: Path, fits: list[int]
) -> None:
    found = snapshots(data, "cnn2", SHORT, at=[0])
    assert same(found[0].net, build("cnn2", data.n_classes, data.in_shape, seed=0))
    assert fits == []


def test_one_snapshot_needs_no_list(data: Data, own_cache: Path) -> None:
    assert list(snapshots(data, "cnn2", SHORT, at=0)) == [0]


@pytest.mark.parametrize("at", [(), (-1,), (4,), (0, 3, 99)])
def test_snapshots_outside_the_training_are_refused(data: Data, at: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="give epochs from 0 to 3"):
        snapshots(data, "cnn2", SHORT, at=at)
