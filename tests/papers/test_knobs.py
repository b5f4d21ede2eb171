"""The knobs of every paper's methods say what their constructors say."""

import importlib
import inspect

import pytest
from torch import nn

from kdlab.papers import folders
from kdlab.train import method as shared


def methods() -> list[type[nn.Module]]:
    """Return the methods of all papers, and those that belong to none."""
    modules = [
        importlib.import_module(f"kdlab.papers.{name}.method") for name in folders().values()
    ]
    return [
        found
        for module in (shared, *modules)
        for found in vars(module).values()
        if inspect.isclass(found) and issubclass(found, nn.Module) and hasattr(found, "predict")
        if found.__module__ == module.__name__
    ]


def test_every_paper_has_a_method():
    homes = {method.__module__.split(".")[2] for method in methods()}
    assert homes >= set(folders().values())


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.__name__)
def test_knobs_are_arguments_of_the_constructor_with_their_defaults(method: type[nn.Module]):
    arguments, names = inspect.signature(method).parameters, [knob.name for knob in method.knobs]
    assert names and len(set(names)) == len(names)
    for knob in method.knobs:
        assert knob.name in arguments
        assert knob.default == arguments[knob.name].default
        assert type(knob.default) is type(arguments[knob.name].default)
        assert knob.meaning and "\n" not in knob.meaning
        knob.check(knob.default)
        for wrong in (None, "no such value", float("nan")):
            with pytest.raises(ValueError, match=knob.name):
                knob.check(wrong)
