"""Several real processes that train one model together."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
import torch.distributed
from torch.testing import assert_close

import ppl
from ppl.infer import SVI, Trace_ELBO
from ppl.infer.svi.processes import ProcessesError
from ppl.optim import Adam

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(),
    reason="needs torch.distributed with gloo",
)
PROGRAM = textwrap.dedent("""
    import sys
    import torch
    import ppl, ppl.distributions as dist
    from ppl.infer import SVI, Trace_ELBO
    from ppl.optim import Adam

    DATA = torch.linspace(-1.0, 2.0, 8, dtype=torch.float64)

    def model(x):
        z = ppl.sample("z", dist.Normal(torch.zeros((), dtype=x.dtype), 1.0))
        with ppl.plate("rows", 8, subsample=torch.arange(len(x))):  # nothing is drawn
            ppl.sample("x", dist.Normal(z, 1.0), obs=x)
        if x.isnan().any():
            raise ValueError("these rows are broken")

    def guide(x):
        loc = ppl.param("loc", lambda: torch.randn((), dtype=x.dtype))
        ppl.sample("z", dist.Normal(loc, 0.5))

    def train(rows, num_steps, first_seed, **options):
        ppl.set_rng_seed(first_seed)
        fit = {name: options.pop(name) for name in ("checkpoint",) if name in options}
        svi = SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO(), **options)
        svi._parameters((DATA[rows],), {})  # the first draw of a process of its own
        ppl.set_rng_seed(7)
        result = svi.fit(num_steps, DATA[rows], disable_progbar=True, **fit)
        return result.losses, result.params["loc"]

    def main(rank, folder):
        torch.set_num_threads(1)
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
        )
        rows = slice(rank, None, 2)
        found = [train(rows, 12, rank, distributed=True)]
        for num_steps in (5, 12):
            ppl.clear_param_store()
            path = f"{folder}/checkpoint"
            found.append(train(rows, num_steps, rank, distributed=True, checkpoint=path))
        torch.save(found, f"{folder}/{rank}.pt")
        DATA[rank] = torch.nan if rank == 1 else 0.0
        for attempt in range(2 - rank):  # the second of which the other process does not make
            try:
                svi = SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO(), distributed=True)
                svi.step(DATA[rows])
            except Exception as error:
                print(type(error).__name__, error)

    if __name__ == "__main__":
        main(int(sys.argv[1]), sys.argv[2])
""")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What two processes printed and found, and the names of their program."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(folder / "program.py")]
    started = [
        subprocess.Popen(
            [*command, str(rank), str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        printed = [process.communicate(timeout=100)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert all((folder / f"{rank}.pt").exists() for rank in range(2)), printed
    names = {"__name__": "program"}
    exec(PROGRAM, names)
    return printed, [torch.load(folder / f"{rank}.pt") for rank in range(2)], names


def test_two_processes_are_one_with_all_rows(run):
    _, found, names = run
    ppl.clear_param_store()
    losses, loc = names["train"](slice(None), 12, 0)
    for rank in range(2):
        assert_close(found[rank][0][0], losses)
        assert_close(found[rank][0][1], loc)


def test_one_checkpoint_resumes_all_processes(run):
    for straight, _, resumed in run[1]:
        assert all(map(torch.equal, straight, resumed))


def test_an_error_of_one_process_is_one_of_all(run):
    assert "ProcessesError another process has met an error" in run[0][0]
    assert "rows are broken" in run[0][1] or "nan" in run[0][1]


def test_a_process_that_has_ended_is_missed(run):
    assert "ProcessesError another process of the group has ended" in run[0][0]


def test_without_a_group_there_is_an_error_that_says_how_to_get_one(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ProcessesError, match="torchrun"):
        SVI(lambda: None, lambda: None, Adam({}), Trace_ELBO(), distributed=True)
