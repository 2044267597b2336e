"""Pictures of models: their sites, plates, distributions and parameters as a graph."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ppl.errors import MissingDistributionError, SiteError

Model = Callable[..., Any]
Relations = dict[str, Any]
Tree = dict[str, Any]  # of plates: the nodes of one under "", and the plates inside of it by name


def render_model(
    model: Model,
    model_args: tuple[Any, ...] | Sequence[tuple[Any, ...]] | None = None,
    model_kwargs: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
    filename: str | None = None,
    render_distributions: bool = False,
    render_params: bool = False,
    render_deterministic: bool = False,
) -> Any:
    """Draw a model as a graph: sites as circles, grey if observed, with arrows to what they affect.

    Plates are boxes around their sites; two plates of which neither lies in the other are drawn
    where they overlap, and each again where it is alone.

    Args:
        model: The model.
        model_args: Its arguments; a list of tuples for several calls, whose graphs are united.
        model_kwargs: Its keyword arguments; a list of dicts for several calls.
        filename: A file to write the picture to; its ending says in which format, such as
            ``.pdf``, ``.png``, ``.svg``, or ``.gv`` for the language of graphviz.
        render_distributions: Whether to list the distributions of the sites, too.
        render_params: Whether to draw parameters, as small squares.
        render_deterministic: Whether to draw deterministic sites, with dashed lines.

    Returns:
        A ``graphviz.Digraph``, which a notebook shows.

    Raises:
        MissingDistributionError: If the package graphviz is not installed, or, when a picture
            is written or shown, its program dot.
        SiteError: If lists of arguments differ in length, or a file name has no ending.
    """
    graphviz = _graphviz()
    relations = [
        _relations(model, args, kwargs, render_deterministic)
        for args, kwargs in _calls(model_args, model_kwargs)
    ]
    graph = _graph(
        graphviz, _united(relations), render_distributions, render_params, render_deterministic
    )
    if filename is not None:
        _write(graphviz, graph, Path(filename))
    return graph


def _relations(
    model: Model, args: tuple[Any, ...], kwargs: dict[str, Any], render_deterministic: bool
) -> Relations:
    from .inspect import get_model_relations  # which shows this module's function

    return get_model_relations(model, args, kwargs, render_deterministic)


def _graphviz() -> Any:
    try:
        return importlib.import_module("graphviz")
    except ImportError:
        raise MissingDistributionError(
            "render_model needs the package graphviz, which is not installed: pip install "
            "'ppl-infer[viz]' (and, to make pictures, the program dot from your system's packages)"
        ) from None


def _calls(model_args: Any, model_kwargs: Any) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return the arguments of each call, from those of one or of several."""
    args = model_args if isinstance(model_args, list) else [model_args or ()]
    kwargs = model_kwargs if isinstance(model_kwargs, list) else [model_kwargs or {}]
    number = max(len(args), len(kwargs))
    args, kwargs = (x * number if len(x) == 1 else x for x in (args, kwargs))
    if len(args) != len(kwargs) or not args:
        raise SiteError(
            f"model_args and model_kwargs describe {len(args)} and {len(kwargs)} calls of the "
            "model; give lists of one length, or the same arguments to all calls"
        )
    return list(zip(args, kwargs, strict=True))


def _united(many: list[Relations]) -> Relations:
    """Return the relations of several calls together; observed is what is so in each."""
    united: Relations = {"sample_dist": {}, "param_constraint": {}}
    for relation in ("sample_sample", "sample_param", "plate_sample"):
        merged: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for one in many:
            for key, names in one[relation].items():
                merged[key].update(dict.fromkeys(names))
        united[relation] = {key: list(names) for key, names in merged.items()}
    for one in many:
        united["sample_dist"].update(one["sample_dist"])
        united["param_constraint"].update(one["param_constraint"])
    united["observed"] = {
        name: all(name in one["observed"] for one in many if name in one["sample_dist"])
        for name in united["sample_dist"]
    }
    return united


def _graph(
    graphviz: Any,
    relations: Relations,
    with_distributions: bool,
    with_params: bool,
    with_deterministic: bool,
) -> Any:
    kinds = relations["sample_dist"]
    shown = [n for n in kinds if with_deterministic or kinds[n] != "Deterministic"]
    graph = graphviz.Digraph()
    if with_params:
        for name in relations["param_constraint"]:
            graph.node(_id(name), label=graphviz.escape(name), shape="square", fontsize="10")
    _draw(graphviz, graph, _tree(shown, relations["plate_sample"]), relations, ())
    for name in shown:
        for parent in relations["sample_sample"][name]:
            if parent in shown:
                graph.edge(_id(parent), _id(name))
        for parent in relations["sample_param"][name] if with_params else ():
            graph.edge(_id(parent), _id(name))
    if with_distributions:
        graph.node(
            "_distributions", label=_legend(shown, relations, with_params), shape="plaintext"
        )
    return graph


def _tree(names: list[str], plate_sample: dict[str, list[str]]) -> Tree:
    """Return the sites in their plates, larger plates outside."""
    plates = sorted(plate_sample, key=lambda plate: -len(plate_sample[plate]))
    tree: Tree = {"": []}
    for name in names:
        branch = tree
        for plate in plates:
            if name in plate_sample[plate]:
                branch = branch.setdefault(plate, {"": []})
        branch[""].append(name)
    return tree


def _draw(
    graphviz: Any, graph: Any, tree: Tree, relations: Relations, path: tuple[str, ...]
) -> None:
    """Draw the sites of a plate, and the plates inside it as clusters."""
    for name in tree[""]:
        is_deterministic = relations["sample_dist"][name] == "Deterministic"
        is_observed = relations["observed"][name] and not is_deterministic
        style = "filled,dashed" if is_deterministic else "filled"
        fill = "grey" if is_observed else "white"
        graph.node(
            _id(name), label=graphviz.escape(name), shape="circle", style=style, fillcolor=fill
        )
    for plate, branch in tree.items():
        if plate:
            inside = (*path, plate)
            with graph.subgraph(name="cluster_" + _id("/".join(inside))) as cluster:
                cluster.attr(label=graphviz.escape(plate), labelloc="b", labeljust="r")
                _draw(graphviz, cluster, branch, relations, inside)


def _legend(shown: list[str], relations: Relations, with_params: bool) -> str:
    """Return lines that tell the distributions of sites and the constraints of parameters."""
    kinds, constraints = relations["sample_dist"], relations["param_constraint"]
    lines = [f"{name} ~ {kinds[name]}" for name in shown if kinds[name] != "Deterministic"]
    lines += [f"{name} : {constraint}" for name, constraint in constraints.items() if with_params]
    return "".join(line.replace("\\", "\\\\") + "\\l" for line in lines)


def _id(name: str) -> str:
    return name.replace(":", "__")  # to graphviz, what follows a colon is a port


def _write(graphviz: Any, graph: Any, path: Path) -> None:
    kind = path.suffix.removeprefix(".")
    if not kind:
        raise SiteError(f"filename {str(path)!r} needs an ending that says in which format")
    if kind in ("gv", "dot"):
        path.write_text(graph.source, encoding="utf-8")
        return
    try:
        path.write_bytes(graph.pipe(format=kind))
    except graphviz.ExecutableNotFound:
        raise MissingDistributionError(
            f"to write {str(path)!r}, render_model needs the program dot of graphviz, which is not "
            "installed: take it from your system's packages, or write a file that ends in .gv"
        ) from None
