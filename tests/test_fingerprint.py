"""Fingerprints: the same code and values agree everywhere, any change that matters shows."""

import collections
import dataclasses
import enum
import functools
import importlib
import os
import pathlib
import subprocess
import sys
import threading
import types
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import kdlab.fingerprint.origin
from kdlab.fingerprint import fingerprint
from kdlab.models import build

NOTEBOOK = '''
import enum
import torch
import torch.nn.functional as F
from torch import nn
from kdlab import models

T = 4.0
ALPHA = {"hard": 0.1, "soft": 0.9}
_NAMES = {"a", "b", "c", "d"}
fit = "a word that only looks like the method below"

def unrelated(x):
    return x + 1

def soften(z):
    """Scale the logits."""
    return z / T

def loss(z_s, z_t, *, weight=1.0):
    p = soften(z_t).softmax(1)
    return weight * -(p * F.log_softmax(soften(z_s), 1)).sum(1).mean()

class Method(nn.Module):
    rate: float = 0.1
    def __init__(self, student):
        super().__init__()
        self.student = student
    @torch.no_grad()
    def predict(self, x):
        return self.student(x)
    def forward(self, batch):
        terms = {name: value for name, value in ALPHA.items() if name in _NAMES or value}
        return {"soft": self.rate * loss(self.student(batch.x), batch.y)}

class Colour(enum.Enum):
    RED = 1
    def shade(self):
        return self.value

def factory(size):
    def arm(seed):
        from os.path import join
        method = Method(models.build("cnn4", 10, seed=seed))
        class Local:
            """Stands on some line."""
            limit = 3
        losses = [(lambda z: z * 2)(k) for k in range(size) if k in {1, 2}]
        return method.fit(losses, Local, join, Colour.RED)
    return arm

arm = factory(5)
'''


def notebook(*changes: tuple[str, str], file: str = "<cell>", first: str = "") -> dict:
    source = NOTEBOOK
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    space = {"__name__": "__main__"}
    exec(compile(first + source, file, "exec"), space)
    return space


@pytest.fixture(scope="module")
def base() -> str:
    return fingerprint(notebook()["arm"])


def test_run_again_elsewhere_is_the_same(base):
    again = notebook(file="/tmp/ipykernel_1/2.py", first="\n" * 300)
    assert fingerprint(again["arm"]) == base
    assert len(base) == 64 and int(base, 16) > 0


@pytest.mark.parametrize(
    "change",
    [
        ("T = 4.0", "T = 5.0"),
        ("z / T", "z * T"),
        ("weight=1.0", "weight=2.0"),
        ("factory(5)", "factory(6)"),
        ('"soft": 0.9', '"soft": 0.8'),
        ('"c", "d"}', '"c"}'),
        ("return weight * -", "return weight * "),
        ("rate: float = 0.1", "rate: float = 0.2"),
        ("rate: float = 0.1", "rate: int = 1"),
        ("return self.student(x)", "return 2 * self.student(x)"),
        ("@torch.no_grad()", "@torch.enable_grad()"),
        ("super().__init__()", "nn.Module.__init__(self)"),
        ("class Method(nn.Module)", "class Method(nn.Sequential)"),
        ("or value}", "and value}"),
        ("limit = 3", "limit = 4"),
        ("z * 2", "z * 3"),
        ("{1, 2}", "{1, 3}"),
        ("from os.path import join", "from os.path import split as join"),
        ("F.log_softmax", "F.softmax"),
        ("import torch.nn.functional as F", "import numpy as F"),
        ('"cnn4"', '"cnn8"'),
        ("method.fit(", "method.run("),
        ("RED = 1", "RED = 2"),
        ("return self.value", "return -self.value"),
    ],
    ids=" -> ".join,
)
def test_a_change_that_matters_shows(base, change):
    assert fingerprint(notebook(change)["arm"]) != base


@pytest.mark.parametrize(
    "change",
    [
        ("return x + 1", "return x + 2"),
        ("a word that", "another that"),
        ('"""Scale the logits."""', '"""Divide by the temperature."""'),
        ('"""Stands on some line."""', '"""Stands\n            on two."""'),
        ("    p = soften", "    # why\n\n    p = soften"),
        ('{"hard": 0.1, "soft": 0.9}', '{"soft": 0.9, "hard": 0.1}'),
        ('{"a", "b", "c", "d"}', '{"d", "b", "a", "c"}'),
    ],
    ids=repr,
)
def test_a_change_that_does_not_matter_does_not(base, change):
    assert fingerprint(notebook(change)["arm"]) == base


def test_a_process_with_another_hash_seed_agrees(base, tmp_path):
    script = tmp_path / "elsewhere.py"
    space = "{'__name__': '__main__'}"
    script.write_text(
        f"from kdlab.fingerprint import fingerprint\nspace = {space}\nexec({NOTEBOOK!r}, space)\n"
        "print(fingerprint(space['arm']))\n"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    run = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == base


# Objects.


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Point:
    x: float = 1.0
    tags: list = dataclasses.field(default_factory=list)


class Pair(NamedTuple):
    a: int
    b: int = 2


class Slots:
    __slots__ = ("a", "b")

    def __init__(self, a, b=0):
        self.a, self.b = a, b


class Told:
    def __init__(self, content):
        self.content, self.lock = content, threading.Lock()

    def __kdlab_fingerprint__(self):
        return self.content


def twice(x, *, by=2):
    return by * x


def net(seed: int) -> nn.Module:
    return build("cnn2", 10, seed=seed)


# Two different values a line, and made anew by every call.
PAIRS = [
    lambda: (1, True),
    lambda: (1, 1.0),
    lambda: (0.0, -0.0),
    lambda: ("1", b"1"),
    lambda: (10**5000, 10**5000 + 1),
    lambda: ([1, 2], (1, 2)),
    lambda: ([1, [2]], [[1], 2]),
    lambda: (["ab", "c"], ["a", "bc"]),
    lambda: ({"a": 1}, {"a": 2}),
    lambda: ({"a": "b"}, {"b": "a"}),
    lambda: ({1, 2}, frozenset({1, 2})),
    lambda: ({("a", 1), twice}, {("a", 2), twice}),
    lambda: (collections.OrderedDict(a=1), {"a": 1}),
    lambda: (collections.defaultdict(list, a=1), collections.defaultdict(set, a=1)),
    lambda: (pathlib.Path("a"), pathlib.Path("b")),
    lambda: (Colour.RED, Colour.BLUE),
    lambda: (Point(), Point(tags=[1])),
    lambda: (Pair(1), Pair(1, 3)),
    lambda: (Slots(1), Slots(1, 1)),
    lambda: (Told(1), Told(2)),
    lambda: (functools.partial(twice, by=2), functools.partial(twice, by=3)),
    lambda: (Point(1.0).__eq__, Point(2.0).__eq__),
    lambda: (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
    lambda: (torch.zeros(2, 3), torch.zeros(3, 2)),
    lambda: (torch.zeros(0), torch.zeros(0, 1)),
    lambda: (torch.tensor(1.0, dtype=torch.bfloat16), torch.tensor(2.0, dtype=torch.bfloat16)),
    lambda: (torch.zeros(2), torch.zeros(2, requires_grad=True)),
    lambda: (torch.eye(2).to_sparse(), (2 * torch.eye(2)).to_sparse()),
    lambda: (np.zeros(2), np.ones(2)),
    lambda: (np.zeros(2, "f4"), np.zeros(1, "f8")),
    lambda: (np.array(["a", None], object), np.array(["b", None], object)),
    lambda: (np.float32(1), np.float64(1)),
    lambda: (net(0), net(1)),
    lambda: (net(0), net(0).eval()),
    lambda: (nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)),
    lambda: (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]})),
    lambda: (pd.DataFrame({"a": ["x", None]}), pd.DataFrame({"a": ["y", None]})),
    lambda: (pd.Series([1, 2], index=[0, 1]), pd.Series([1, 2], index=[0, 2])),
    lambda: (torch.relu, torch.exp),
    lambda: (torch.float32, torch.float64),
    lambda: (build, twice),
    lambda: (np.random.default_rng(0), np.random.default_rng(1)),
]


@pytest.mark.parametrize("make", PAIRS, ids=map(str, range(len(PAIRS))))
def test_values_agree_with_themselves_only(make):
    (a, b), (again, _) = make(), make()
    assert fingerprint(a) == fingerprint(again)
    assert fingerprint(a) != fingerprint(b)


def test_content_counts_and_not_identity():
    shared = [1, 2]
    assert fingerprint([shared, shared]) == fingerprint([[1, 2], [1, 2]])
    weights = torch.arange(6.0).reshape(2, 3)
    assert fingerprint(weights.T) == fingerprint(weights.T.contiguous())
    assert fingerprint(weights[0]) == fingerprint(weights[0].clone())


def test_order_of_a_set_does_not_count_when_its_items_reach_each_other():
    def spaces(order):
        space = {}
        exec(
            "def f():\n    return g\ndef g():\n    return 1, f\ndef h():\n    return f, g\n", space
        )
        return {name: space[name] for name in order}

    values = [fingerprint(set(spaces(order).values())) for order in ("fgh", "hgf", "gfh")]
    keys = [fingerprint(dict.fromkeys(spaces(o).values())) for o in ("fgh", "hgf", "gfh")]
    assert len(set(values)) == len(set(keys)) == 1


def test_hooks_count_by_what_they_do_not_by_their_number():
    def hooked(function):
        model = nn.Linear(1, 1, bias=False)
        nn.init.ones_(model.weight)
        model.register_forward_hook(function)
        return model

    assert fingerprint(hooked(print)) == fingerprint(hooked(print))
    assert fingerprint(hooked(print)) != fingerprint(hooked(repr))


def test_a_data_set_counts_by_its_key():
    data = type("Data", (), {"__module__": "kdlab.data.sets", "lock": threading.Lock()})

    def keyed(key):
        made = data()
        made.key = key
        return made

    assert fingerprint(keyed("a")) == fingerprint(keyed("a")) != fingerprint(keyed("b"))


def test_wrapped_functions_show_what_is_inside():
    source = (
        "import contextlib, functools, torch\n"
        "class Holder:\n"
        "    @functools.cached_property\n    def a(self): return 1\n"
        "    @property\n    def b(self): return 2\n"
        "    @staticmethod\n    def c(): return 3\n"
        "    @classmethod\n    def d(cls): return 4\n"
        "    @contextlib.contextmanager\n    def e(self): yield 5\n"
        "    @functools.lru_cache\n    def f(self): return 6\n"
        "    @torch.no_grad()\n    def g(self): return 7\n"
    )

    def of(text):
        exec(text, space := {})
        return fingerprint(space["Holder"])

    assert of(source) == of(source)
    for digit in "1234567":
        assert of(source) != of(source.replace(digit, "8"))


# Cycles.


def test_cycles_end_and_still_show_changes():
    def recursive(constant):
        exec(
            f"def f(n):\n    return n and g(n)\ndef g(n):\n    return f(n - {constant})",
            space := {},
        )
        return space["f"]

    assert fingerprint(recursive(1)) == fingerprint(recursive(1)) != fingerprint(recursive(2))

    def ring(value):
        first, second = [value], {}
        first.append(second)
        second["back"] = first
        return first

    assert fingerprint(ring(1)) == fingerprint(ring(1)) != fingerprint(ring(2))
    inner, outer = [[]], [[]]
    inner[0].append(inner[0])
    outer[0].append(outer)
    assert fingerprint(inner) != fingerprint(outer)


def test_a_tangle_of_many_references_is_hashed_in_reasonable_time():
    nodes = [types.SimpleNamespace(number=i) for i in range(60)]
    for node in nodes:
        node.others = nodes
        node.direct = {str(other.number): other for other in nodes}
    first = fingerprint(nodes)
    nodes[30].number = -1
    assert fingerprint(nodes) != first


# Modules.


def fresh(tmp_path, monkeypatch, name: str, **texts: str):
    for file, text in texts.items():
        path = tmp_path / (file.replace("__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    module = importlib.import_module(name)
    for loaded in [n for n in sys.modules if n.split(".")[0] in {name.split(".")[0], *texts}]:
        monkeypatch.setitem(sys.modules, loaded, sys.modules[loaded])
    return module


def test_own_modules_count_by_text_and_those_they_use_too(tmp_path, monkeypatch):
    texts = {"my_loss": "import my_help\ndef loss(z):\n    return my_help.half(z)\n"}
    texts["my_help"] = "def half(z):\n    return z / 2\n"
    my_loss = fresh(tmp_path, monkeypatch, "my_loss", **texts)
    exec("def arm(seed):\n    return my_loss.loss(seed)", space := {"my_loss": my_loss})
    exec("def arm(seed):\n    import my_loss as m\n    return m.loss(seed)", local := {})
    before = [fingerprint(f) for f in (space["arm"], local["arm"], my_loss.loss)]
    assert before == [fingerprint(f) for f in (space["arm"], local["arm"], my_loss.loss)]
    (tmp_path / "my_help.py").write_text("def half(z):\n    return z / 3\n")
    after = [fingerprint(f) for f in (space["arm"], local["arm"], my_loss.loss)]
    assert all(old != new for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("early", "from early_rate import RATE\ndef loss(z):\n    return RATE * z\n"),
        ("late", "def loss(z):\n    import late_rate\n    return late_rate.RATE * z\n"),
    ],
)
def test_a_plain_value_that_an_own_module_imports_counts(tmp_path, monkeypatch, name, text):
    texts = {f"{name}_loss": text, f"{name}_rate": "RATE = 4.0\n"}
    own = fresh(tmp_path, monkeypatch, f"{name}_loss", **texts)
    exec("def arm(seed):\n    return own.loss(seed)", space := {"own": own})
    before = fingerprint(space["arm"])
    (tmp_path / f"{name}_rate.py").write_text("RATE = 8.0\n")
    assert fingerprint(space["arm"]) != before


def test_the_file_at_a_path_counts(tmp_path):
    path = tmp_path / "weights.npy"
    absent = fingerprint(path)
    path.write_bytes(b"one")
    first = fingerprint(path)
    path.write_bytes(b"three")
    assert len({absent, first, fingerprint(path)}) == 3
    assert fingerprint(path) == fingerprint(pathlib.Path(str(path)))


HOUSE = {  # a package of the shape of kdlab; only its imports of kdlab are followed
    "lab/papers/kd/method.py": "from kdlab.train.fit import fit\n\ndef kd_loss(z):\n    return z\n",
    "lab/papers/new/method.py": "from kdlab.papers.kd.method import kd_loss\n",
    "lab/train/fit.py": "EPOCHS = 2  # enough\n",
    "lab/train/other.py": "",
    "lab/show/plots.py": "",
}


def test_kdlab_counts_by_the_files_that_an_arm_uses(tmp_path, monkeypatch):
    for name, text in HOUSE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(kdlab.fingerprint.origin, "PACKAGE", tmp_path / "lab")
    importlib.invalidate_caches()
    kd = importlib.import_module("lab.papers.kd.method")
    for loaded in [n for n in sys.modules if n.split(".")[0] == "lab"]:
        monkeypatch.setitem(sys.modules, loaded, sys.modules[loaded])
    exec("def arm(seed):\n    return kd.kd_loss(seed)", space := {"kd": kd})
    space["direct"] = kd.kd_loss

    def now():
        return [fingerprint(space[name]) for name in ("arm", "direct")]

    def change(name: str, text: str) -> bool:
        before = now()
        (tmp_path / "lab" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "lab" / name).write_text(text)
        differ = {old != new for old, new in zip(before, now(), strict=True)}
        assert len(differ) == 1, "what is reached through an arm, and directly, must agree"
        return differ.pop()

    assert not change("show/plots.py", "COLOUR = 1\n")  # how a result is drawn
    assert not change("train/other.py", "RATE = 1\n")  # nothing that the arm uses
    assert not change("papers/newer/method.py", "def loss(z):\n    return z\n")  # a new paper
    assert not change("papers/new/method.py", "WEIGHT = 2\n")  # another paper
    assert not change("train/fit.py", '"""A docstring."""\n\nEPOCHS = 2\n')  # no meaning
    assert change("train/fit.py", "EPOCHS = 3\n")
    assert change("papers/kd/method.py", "def kd_loss(z):\n    return -z\n")


def test_installed_packages_count_by_version(monkeypatch):
    exec("import torch\ndef arm(x):\n    return torch.nn.functional.relu(x)", space := {})
    before = fingerprint(space["arm"]), fingerprint(torch.relu), fingerprint(twice)
    monkeypatch.setattr(torch, "__version__", "0.0")
    after = fingerprint(space["arm"]), fingerprint(torch.relu), fingerprint(twice)
    assert [old != new for old, new in zip(before, after, strict=True)] == [True, True, False]


# Refusals.


def test_what_cannot_be_compared_is_named_with_the_way_to_it(tmp_path):
    teacher = types.SimpleNamespace(handle=(tmp_path / "log").open("w"))
    exec("def arm(seed):\n    return teacher(seed)", space := {"teacher": teacher})
    with teacher.handle, pytest.raises(TypeError) as error:
        fingerprint((space["arm"], 0))
    sentence = "arm -> teacher -> handle: cannot tell whether this TextIOWrapper changed; pass the "
    assert str(error.value).startswith(sentence)
    assert "__kdlab_fingerprint__" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "make",
    [threading.Lock, lambda: (i for i in range(3)), lambda: torch.zeros(2, device="meta")],
    ids=["lock", "generator", "meta tensor"],
)
def test_refusals(make):
    with pytest.raises(TypeError, match=r"held: cannot tell whether this \w+ changed"):
        fingerprint({"held": make()})


def test_a_name_without_a_value_yet_is_no_error():
    exec("def arm(seed):\n    return later(seed)", space := {})
    before = fingerprint(space["arm"])
    space["later"] = twice
    assert fingerprint(space["arm"]) != before


# --- what an arm reads from disk ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text", "path", "folder", "folder as text"])
def test_a_file_that_changed_is_another_value(tmp_path: pathlib.Path, kind: str):
    file = tmp_path / "set" / "a.npz"
    file.parent.mkdir()
    file.write_bytes(b"one")
    named = {
        "text": str(file),
        "path": file,
        "folder": file.parent,
        "folder as text": str(file.parent),
    }[kind]
    arm = lambda seed: (seed, named)  # noqa: E731
    before = fingerprint(arm)
    assert fingerprint(arm) == before
    file.write_bytes(b"another")
    after = fingerprint(arm)
    assert after != before
    (file.parent / "b.npz").write_bytes(b"more")
    assert (fingerprint(arm) != after) == kind.startswith("folder")


@pytest.mark.parametrize(
    "text", ["/", ".", "..", "a/b.npz", "T = 4", "x" * 5000, "a\0b.c", "~x/y.z"]
)
def test_a_text_that_names_no_data_is_a_text(text: str, tmp_path: pathlib.Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = fingerprint(text)
    (tmp_path / "new.txt").write_text("beside")
    assert fingerprint(text) == before
