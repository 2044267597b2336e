"""A misspelt name of a module is answered with the right one, wherever users take names from."""

import importlib

import pytest

MODULES = {
    "ppl": "sampel",
    "ppl.contrib.flows": "DenseN",
    "ppl.distributions": "Normall",
    "ppl.distributions.constraints": "positve",
    "ppl.distributions.transforms": "ExpTransfrm",
    "ppl.distributions.util": "broadcast_shap",
    "ppl.infer": "Trace_ELBOO",
    "ppl.infer.autoguide": "AutoNorml",
    "ppl.infer.autoguide.guides": "AutoDleta",
    "ppl.infer.autoguide.initialization": "init_to_medain",
    "ppl.infer.discrete": "infer_discret",
    "ppl.infer.mcmc": "NUTTS",
    "ppl.infer.mcmc.util": "initialise_model",
    "ppl.infer.predictive": "Predictiv",
    "ppl.infer.reparam": "LocScaleRepram",
    "ppl.infer.svi": "SVII",
    "ppl.infer.util": "torch_iten",
    "ppl.nn": "PyroModul",
    "ppl.ops.stats": "quantil",
    "ppl.optim": "Adamm",
    "ppl.poutine": "conditon",
    "ppl.settings": "contxt",
    "ppl.util": "set_rngseed",
}


@pytest.mark.parametrize("path, name", MODULES.items())
def test_a_misspelt_name_suggests_the_right_one(path, name):
    module = importlib.import_module(path)
    with pytest.raises(AttributeError, match="did you mean '") as error:
        getattr(module, name)
    suggested = str(error.value).split("'")[5 if "registers" not in str(error.value) else 9]
    assert hasattr(module, suggested)


@pytest.mark.parametrize("path", MODULES)
def test_what_python_asks_of_modules_is_not_answered_with_names(path):
    assert not hasattr(importlib.import_module(path), "__wrapped__")


def test_a_star_imports_algorithms_and_no_modules():
    found: dict = {}
    exec("from ppl.infer import *", found)
    assert {"SVI", "TraceEnum_ELBO", "NUTS", "Predictive", "config_enumerate"} <= found.keys()
    assert not {"mcmc", "enum", "search", "PROVIDERS", "annotations"} & found.keys()
