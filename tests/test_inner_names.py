"""Names that programs import from inside the packages stay at their paths, as in Pyro."""

from __future__ import annotations

import importlib

import pytest
import torch

PATHS = {
    "ppl.distributions.conjugate": "BetaBinomial DirichletMultinomial GammaPoisson",
    "ppl.distributions.testing.fakes": """NonreparameterizedBeta NonreparameterizedDirichlet
        NonreparameterizedGamma NonreparameterizedNormal""",
    "ppl.distributions.testing.gof": "auto_goodness_of_fit",
    "ppl.distributions.torch_distribution": """ExpandedDistribution MaskedDistribution
        TorchDistribution TorchDistributionMixin""",
    "ppl.distributions.util": """broadcast_shape copy_docs_from deep_to detach is_identically_one
        is_identically_zero logsumexp scale_and_mask sum_leftmost sum_rightmost weakmethod""",
    "ppl.infer": "enable_validation is_validation_enabled",
    "ppl.infer.enum": "config_enumerate iter_discrete_traces",
    "ppl.infer.mcmc.adaptation": "ArrowheadMassMatrix BlockMassMatrix",
    "ppl.infer.mcmc.api": "MCMC StreamingMCMC",
    "ppl.infer.mcmc.mcmc_kernel": "MCMCKernel",
    "ppl.infer.mcmc.util": """TraceEinsumEvaluator TraceTreeEvaluator diagnostics initialize_model
        select_samples""",
    "ppl.infer.util": """MultiFrameTensor get_plate_stacks torch_backward torch_exp torch_item
        zero_grads""",
    "ppl.logger": "log",
    "ppl.nn.auto_reg_nn": "create_mask",
    "ppl.nn.module": """PyroModule PyroModuleList PyroParam PyroSample clear pyro_method
        to_pyro_module_""",
    "ppl.ops.provenance": "detach_provenance extract_provenance get_provenance track_provenance",
    "ppl.optim.clipped_adam": "ClippedAdam",
    "ppl.optim.dct_adam": "DCTAdam",
    "ppl.optim.optim": "PyroOptim is_scheduler",
    "ppl.params.param_store": "ParamStoreDict",
    "ppl.poutine.indep_messenger": "CondIndepStackFrame",
    "ppl.poutine.plate_messenger": "block_plate",
    "ppl.poutine.runtime": """NonlocalExit am_i_wrapped apply_stack effectful get_mask
        get_plates""",
    "ppl.poutine.util": """all_escape discrete_escape enum_extend mc_extend
        prune_subsample_sites site_is_subsample""",
    "ppl.util": """check_model_guide_match check_site_shape ignore_jit_warnings optional
        set_rng_seed torch_isnan warn_if_inf warn_if_nan""",
}


@pytest.mark.parametrize("module", PATHS)
def test_a_module_has_the_names_that_programs_import(module):
    found = importlib.import_module(module)
    assert [name for name in PATHS[module].split() if not hasattr(found, name)] == []


def test_a_number_has_no_backward_pass_and_a_tensor_has():
    from ppl.infer.util import torch_backward, torch_item

    x = torch.tensor(3.0, requires_grad=True)
    torch_backward(x**2)
    torch_backward(9.0)
    assert x.grad == 6.0 and torch_item(x) == torch_item(3.0) == 3.0


def test_the_provenance_of_a_structure_is_taken_apart_from_its_values():
    from ppl.ops.provenance import extract_provenance, get_provenance, track_provenance

    x = torch.arange(3.0)
    value, names = extract_provenance(track_provenance(x, frozenset({"a", "b"})))
    assert names == {"a", "b"} and torch.equal(value, x) and not get_provenance(value)


def test_validation_is_switched_through_the_package_of_inference():
    from ppl.infer import enable_validation, is_validation_enabled
    from ppl.validation import validation_enabled

    with validation_enabled():
        for switch in (False, True):
            enable_validation(switch)
            assert is_validation_enabled() is switch
