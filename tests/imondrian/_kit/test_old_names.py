"""Old names of modules: every one of them leads to where it says, and no other name is found."""

from importlib import import_module

import pytest

from imondrian._kit.old_names import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_leads_to_the_same_classes(old):
    new = import_module(MOVED[old])
    names = [name for name, value in vars(new).items() if getattr(value, "__module__", None) == new.__name__]
    assert names
    assert all(getattr(import_module(old), name) is getattr(new, name) for name in names)


@pytest.mark.parametrize("name", ["imondrian._young", "pointmetrics._backend", "imondrian._no_such_thing"])
def test_no_other_name_is_found(name):
    with pytest.raises(ModuleNotFoundError, match=name):
        import_module(name)


def test_what_a_moved_module_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing"):
        import_module("imondrian._estimator").nothing  # noqa: B018
    with pytest.raises(AttributeError, match="nothing"):
        import_module("imondrian._forest").nothing  # noqa: B018
