"""What a model is made of, found by one run, and its picture."""

import re
import sys

import pytest
import torch

import ppl
import ppl.distributions as dist
from ppl.errors import MissingDistributionError, SiteError
from ppl.infer.inspect import get_dependencies, get_model_relations, render_model


@pytest.fixture(autouse=True)
def _fresh_state():
    ppl.set_rng_seed(0)
    with ppl.get_param_store().scope():
        yield


def hierarchy(x=torch.zeros(4)):
    """Sites of every kind."""
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    b = ppl.param("b", torch.tensor(1.0), constraint=dist.constraints.positive)
    c = ppl.sample("c", dist.Normal(a, b))
    d = ppl.deterministic("d", a + c)
    with ppl.plate("N", len(x)):
        e = ppl.sample("e", dist.Normal(d, 1.0).expand([len(x)]))
        ppl.sample("x", dist.Normal(e, 1.0), obs=x)
    ppl.factor("f", -(a**2))


def crossed():
    i, j = ppl.plate("i", 2, dim=-1), ppl.plate("j", 3, dim=-2)
    with i:
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
    with j:
        b = ppl.sample("b", dist.Normal(0.0, 1.0))
    with i, j:
        ppl.sample("x", dist.Normal(a + b, 1.0), obs=torch.zeros(3, 2))


def names(dependencies):
    return {name: "".join(found) for name, found in dependencies.items()}


class TestDependencies:
    def test_a_site_depends_on_what_its_density_was_computed_from(self):
        found = get_dependencies(hierarchy)["prior_dependencies"]
        assert names(found) == {"a": "a", "c": "ac", "e": "ace", "x": "ex", "f": "af"}
        assert all(plates == set() for row in found.values() for plates in row.values())

    def test_given_observations_sites_depend_on_those_they_share_a_factor_with(self):
        found = get_dependencies(hierarchy)["posterior_dependencies"]
        rows = {name: set(row) for name, row in found.items()}
        assert rows == {"a": set("acef"), "c": set("ce"), "e": set("ex")}

    def test_a_deterministic_site_can_stand_for_what_it_was_computed_from(self):
        found = get_dependencies(hierarchy, include_deterministic=True)
        assert names(found["prior_dependencies"])["e"] == "de"
        assert names(found["prior_dependencies"])["d"] == "acd"

    def test_parents_of_an_observation_depend_on_each_other(self):
        def collider():
            u = ppl.sample("u", dist.Normal(0.0, 1.0))
            v = ppl.sample("v", dist.Bernoulli(0.5))
            ppl.sample("y", dist.Normal(u + v, 1.0), obs=torch.tensor(0.0))

        found = get_dependencies(collider)
        assert "v" not in found["prior_dependencies"]["u"]
        assert set(found["posterior_dependencies"]["u"]) == {"u", "v", "y"}

    @pytest.mark.parametrize("total", [lambda z: z.sum(), lambda z: z.sum(-1, keepdim=True)])
    def test_what_sums_over_a_plate_makes_its_elements_depend_on_each_other(self, total):
        def summed():
            with ppl.plate("N", 3):
                z = ppl.sample("z", dist.Normal(0.0, 1.0))
                w = ppl.sample("w", dist.Normal(0.0, 1.0))
            ppl.sample("y", dist.Normal(total(z + w), 1.0), obs=torch.tensor(0.0))

        found = get_dependencies(summed)["posterior_dependencies"]
        assert found["z"] == {"z": {"N"}, "w": {"N"}, "y": set()}

    def test_elements_of_crossed_plates_stay_apart(self):
        found = get_dependencies(crossed)["posterior_dependencies"]
        assert found == {"a": {"a": set(), "b": set(), "x": set()}, "b": {"b": set(), "x": set()}}

    def test_generators_are_left_as_they_were(self):
        state = torch.get_rng_state()
        get_dependencies(hierarchy)
        assert torch.equal(torch.get_rng_state(), state)

    def test_arguments_reach_the_model(self):
        found = get_model_relations(lambda n, x: hierarchy(x[:n]), (2,), {"x": torch.zeros(9)})
        assert found["observed"] == ["d", "x", "f"]


def test_relations_name_distributions_parameters_and_plates():
    found = get_model_relations(hierarchy)
    assert found["sample_dist"] == {
        "a": "Normal",
        "c": "Normal",
        "d": "Deterministic",
        "e": "Normal",
        "x": "Normal",
        "f": "Unit",
    }
    assert found["sample_param"]["c"] == ["b"]
    assert found["param_constraint"] == {"b": "GreaterThan(lower_bound=0.0)"}
    assert found["plate_sample"] == {"N": ["e", "x"]}
    wrapped = get_model_relations(
        lambda: ppl.sample("x", dist.Categorical(torch.ones(2)).expand([3]).to_event(1).mask(True))
    )
    assert wrapped["sample_dist"] == {"x": "Categorical"}


def edges(graph):
    return set(re.findall(r"(\w+) -> (\w+)", graph.source))


def plates_of(graph, node):
    """The labels of the clusters around a node."""
    open_plates = []
    for line in graph.source.splitlines():
        if line.strip().startswith("subgraph"):
            open_plates.append(None)
        elif line.strip().startswith("label="):
            open_plates[-1] = re.match(r"\s*label=\"?(\w+)", line)[1]
        elif line.strip() == "}" and open_plates:
            open_plates.pop()
        elif re.match(rf"\s*{node} \[", line):
            return open_plates
    raise AssertionError(f"{node} is not drawn")


class TestPicture:
    @pytest.fixture(autouse=True)
    def _graphviz(self):
        self.graphviz = pytest.importorskip("graphviz")

    def test_arrows_lead_to_what_a_site_affects(self):
        graph = ppl.render_model(hierarchy)
        assert edges(graph) == {("a", "c"), ("a", "e"), ("c", "e"), ("e", "x"), ("a", "f")}
        assert re.search(r"x \[.*fillcolor=grey", graph.source)
        assert re.search(r"e \[.*fillcolor=white", graph.source)

    def test_parameters_and_deterministic_sites_are_drawn_if_wanted(self):
        plain = render_model(hierarchy).source
        full = render_model(hierarchy, render_params=True, render_deterministic=True)
        assert {("b", "c"), ("a", "d"), ("c", "d"), ("d", "e")} <= edges(full)
        assert ("a", "e") not in edges(full)
        assert re.search(r"b \[.*shape=square", full.source) and "dashed" in full.source
        assert "square" not in plain and "dashed" not in plain

    def test_distributions_and_constraints_are_listed_if_wanted(self):
        full = render_model(hierarchy, render_distributions=True, render_params=True).source
        assert r"c ~ Normal\l" in full and r"b : GreaterThan(lower_bound=0.0)\l" in full
        assert "~" not in render_model(hierarchy).source

    def test_sites_lie_in_their_plates(self):
        graph = render_model(crossed)
        assert plates_of(graph, "a") == ["i"] and plates_of(graph, "b") == ["j"]
        assert set(plates_of(graph, "x")) == {"i", "j"}

    def test_several_calls_are_united(self):
        def model(data=None):
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            ppl.sample("x", dist.Normal(z, 1.0), obs=data)
            if data is None:
                ppl.sample("w", dist.Normal(z, 1.0))

        graph = render_model(model, model_args=[(), (torch.tensor(1.0),)])
        assert edges(graph) == {("z", "x"), ("z", "w")}
        assert re.search(r"x \[.*fillcolor=white", graph.source)  # observed in one call only

    def test_a_name_with_a_colon_is_one_node(self):
        def model():
            a = ppl.sample("net:a", dist.Normal(0.0, 1.0))
            ppl.sample("b", dist.Normal(a, 1.0))

        source = render_model(model).source
        assert "net__a -> b" in source and 'label="net:a"' in source

    def test_the_language_of_graphviz_is_written_without_its_programs(self, tmp_path):
        file = tmp_path / "model.gv"
        graph = render_model(hierarchy, filename=str(file))
        assert file.read_text() == graph.source

    def test_a_picture_without_the_program_dot_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(MissingDistributionError, match="needs the program dot"):
            render_model(hierarchy, filename=str(tmp_path / "model.pdf"))

    def test_a_file_without_an_ending_is_refused(self):
        with pytest.raises(SiteError, match="needs an ending"):
            render_model(hierarchy, filename="model")

    def test_calls_must_have_arguments_of_one_number(self):
        with pytest.raises(SiteError, match="2 and 3 calls"):
            render_model(hierarchy, model_args=[(), ()], model_kwargs=[{}, {}, {}])


def test_without_the_package_an_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(MissingDistributionError, match=r"pip install 'ppl-infer\[viz\]'"):
        ppl.render_model(hierarchy)
