"""Which store is the current one, in blocks, functions and threads."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import ppl
from ppl.params import ParamStoreDict
from ppl.primitives import clear_param_store, get_param_store, param, param_store


def names():
    return list(get_param_store())


def test_a_block_has_a_store_of_its_own_and_leaves_the_other_alone():
    param("outside", torch.tensor(1.0))
    with param_store() as store:
        assert names() == []
        param("inside", torch.tensor(2.0))
        assert get_param_store() is store
    assert list(store) == ["inside"]
    assert names() == ["outside"]


def test_a_block_may_go_on_with_a_store():
    store = ParamStoreDict()
    for _ in range(2):
        with param_store(store) as current:
            assert current is store
            param("p", torch.tensor(1.0)).unconstrained().data.add_(1)
    assert store["p"] == 3.0


def test_an_empty_store_is_a_store():
    store = ParamStoreDict()
    with param_store(store):
        param("p", torch.tensor(1.0))
    assert list(store) == ["p"]


def test_blocks_nest_and_one_store_may_be_entered_twice():
    with param_store() as outer:
        with param_store() as inner:
            param("a", torch.tensor(1.0))
            with param_store(outer), param_store(inner), param_store(outer):
                param("b", torch.tensor(1.0))
            assert get_param_store() is inner
        assert get_param_store() is outer
    assert (list(outer), list(inner)) == (["b"], ["a"])


def test_a_block_that_fails_is_over():
    before = get_param_store()
    with pytest.raises(ZeroDivisionError), param_store():
        raise ZeroDivisionError
    assert get_param_store() is before


def test_each_call_of_a_decorated_function_has_a_store_of_its_own():
    @param_store()
    def run():
        assert names() == []
        param("p", torch.tensor(1.0))
        return get_param_store()

    assert run() is not run()
    assert names() == []


def test_clearing_clears_the_current_store():
    param("outside", torch.tensor(1.0))
    with param_store() as store:
        param("inside", torch.tensor(1.0))
        clear_param_store()
        assert not store
    assert names() == ["outside"]


def test_threads_share_the_store_of_the_process_and_see_no_block_of_others():
    param("shared", torch.tensor(1.0))
    with param_store(), ThreadPoolExecutor() as pool:
        assert pool.submit(names).result() == ["shared"]


def test_blocks_and_scopes_in_threads_do_not_mix():
    def run(number):
        with param_store() as store, store.scope() as scope:
            for step in range(50):
                param(f"{number}.{step}", torch.tensor(float(number)))
        return list(store), list(scope["params"])

    with ThreadPoolExecutor(8) as pool:
        for number, (left, inside) in enumerate(pool.map(run, range(8))):
            assert left == []
            assert inside == [f"{number}.{step}" for step in range(50)]


def test_the_root_has_it():
    assert ppl.param_store is param_store
