"""Notes of what a generated function calls, from which C++ makes the same calls again."""

from __future__ import annotations

import struct
import sys
import types
from collections.abc import Callable, Sequence
from ctypes import c_void_p
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from . import onednn
from .torch_c_interface import (
    Call,
    ReplayError,
    address_of,
    addresses,
    kernel_address,
    libtorch,
    new_handle,
    num_bytes,
    numbers,
    words_of,
)

KERNEL, PRODUCT, PRODUCT_AND_SUM, ONEDNN, OPERATOR = range(5)
PRODUCTS = {"mm": PRODUCT, "bmm": PRODUCT, "addmm": PRODUCT_AND_SUM, "baddbmm": PRODUCT_AND_SUM}
MOST_ARGUMENTS, MOST_OPERATOR_ARGUMENTS, STEP = 256, 16, 8  # as in cpp/program.hpp
aten: Any = torch.ops.aten
DIVISIONS = (
    aten.div.Tensor_mode,
    aten.floor_divide.default,
    aten.remainder.Tensor,
    aten.fmod.Tensor,
)
INTO: dict[Any, Callable[..., tuple[Any, ...]]] = {
    # operators that draw into new memory, by what draws the same numbers into memory that is given
    **dict.fromkeys(
        (aten.randn.default, aten.randn_like.default),
        lambda out, *args: (aten.normal_.default, out, 0.0, 1.0),
    ),
    **dict.fromkeys(
        (aten.rand.default, aten.rand_like.default),
        lambda out, *args: (aten.uniform_.default, out, 0.0, 1.0),
    ),
    aten.randperm.default: lambda out, n: (aten.randperm.out, n, out),
}


class Notes:
    """Notes the calls that a generated function makes.

    Args:
        draws: Whether it may draw at random.
    """

    def __init__(self, draws: bool) -> None:
        self._draws = draws
        self.calls: list[Call] = []
        self._kept: list[Any] = []  # memory whose addresses are in the calls
        self._handles: list[int] = []

    def watch(self, generated: Callable[..., Any], inputs: list[Tensor]) -> Sequence[Tensor]:
        """Run a generated function and note what it calls."""
        function: Any = getattr(generated, "__func__", generated)
        if not isinstance(function, types.FunctionType):
            raise ReplayError("it is not what inductor generates")
        found = {**function.__globals__, **self._replaced(function.__globals__)}
        watched = types.FunctionType(
            function.__code__, found, function.__name__, None, function.__closure__
        )
        owner = [generated.__self__] if hasattr(generated, "__self__") else []
        self._kept.append(inputs)
        outputs: Sequence[Tensor] = watched(*owner, list(inputs))
        return outputs

    def _replaced(self, found: dict[str, Any]) -> dict[str, Any]:
        kernels = {n: self._kernel(f) for n, f in found.items() if n.startswith("cpp_fused")}
        if "empty_strided_cpu" not in found:
            raise ReplayError("torch generates other code than is known here")
        return {
            "empty_strided_cpu": lambda *args: self.keep(
                torch.empty_strided(*args[:2], dtype=args[2])
            ),
            "reinterpret_tensor": lambda *args: self.keep(found["reinterpret_tensor"](*args)),
            "assert_size_stride": lambda *args: None,
            "assert_alignment": lambda *args: None,
            "extern_kernels": _Products(self),
            "torch": _Namespace(self, torch),
            "aten": _Namespace(self, torch.ops.aten),
            "inductor_ops": _Namespace(self, torch.ops.inductor),
            **kernels,
        }

    def keep(self, tensor: Tensor) -> Tensor:
        """Keep the memory of a tensor."""
        self._kept.append(tensor)
        return tensor

    def handle(self, tensor: Tensor) -> int:
        """Return a handle for the memory of a tensor, which lasts as long as these notes."""
        self._handles.append(new_handle(self.keep(tensor)))
        return self._handles[-1]

    def __del__(self) -> None:
        for handle in self._handles:
            libtorch().aoti_torch_delete_tensor_object(c_void_p(handle))

    def note(self, kind: int, args: Sequence[int], **fields: Any) -> None:
        """Note a call."""
        words = words_of(args)
        self._kept += [words, fields]
        self.calls.append(Call(kind=kind, num_args=len(args), args=words, **fields))

    def _kernel(self, kernel: Any) -> Callable[..., None]:
        def call(*args: Any) -> None:
            if len(args) > MOST_ARGUMENTS or not all(isinstance(x, Tensor) for x in args):
                raise ReplayError(f"a kernel has {len(args)} arguments, or numbers among them")
            where = [x.data_ptr() for x in args] + [0] * (-len(args) % STEP)
            self.note(KERNEL, where, function=kernel_address(kernel))
            kernel(*args)

        return call

    def product(self, name: str, out: Tensor, args: Sequence[Tensor], **scales: float) -> None:
        """Make and note a product of matrices."""
        if name in ("mm", "addmm") and self._by_onednn(out, args, scales):
            return
        handles = [self.handle(x) for x in (out, *args)]
        function = address_of(f"aoti_torch_cpu_{name}_out")
        self.note(PRODUCTS[name], handles, function=function, **scales)
        getattr(torch, name)(*args, **scales, out=out)

    def _by_onednn(self, out: Tensor, args: Sequence[Tensor], scales: dict[str, float]) -> bool:
        *summand, a, b = args
        is_scaled = any(scale != 1 for scale in scales.values())
        if is_scaled or not onednn.helps(a, b, out):
            return False
        bias = onednn.bias_of(summand[0], b.shape[1]) if summand else None
        if summand and (bias is None or bias.data_ptr() != summand[0].data_ptr()):
            return False  # it is no row, or a copy of one
        self.note(
            ONEDNN,
            [self.handle(a), self.handle(b.mT), 0 if bias is None else self.handle(bias)],
            function=address_of("aoti_torch_cpu__linear_pointwise"),
            num_results=1,
            results=addresses([self.keep(out)]),
            result_bytes=numbers([out.nbytes]),
        )
        onednn.multiply(a, b, bias, out)
        return True

    def operator(self, op: Any, *args: Any, **kwargs: Any) -> Any:
        """Make and note a call of an operator of torch."""
        if torch.Tag.nondeterministic_seeded in op.tags and not self._draws:
            raise ReplayError(f"{op} draws at random")
        result = op(*args, **kwargs)
        results = [self.keep(x) for x in ([result] if isinstance(result, Tensor) else result)]
        if op in INTO:
            into, *given = INTO[op](result, *args)
            self._note_operator(into, given, {}, results, [0])
        else:
            self._note_operator(op, args, kwargs, results, [num_bytes(x) for x in results])
        return result

    def _note_operator(
        self,
        op: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        results: Sequence[Tensor],
        sizes: Sequence[int],
    ) -> None:
        schema = op._schema
        given = [args[i] if i < len(args) else kwargs.get(a.name, a.default_value)
                 for i, a in enumerate(schema.arguments)]  # fmt: skip
        if len(given) > MOST_OPERATOR_ARGUMENTS:
            raise ReplayError(f"{op} has many arguments")
        words = [self._word(op, a, x) for a, x in zip(schema.arguments, given, strict=True)]
        self.note(
            OPERATOR,
            words,
            name=schema.name.encode(),
            overload=schema.overload_name.encode(),
            is_handle=numbers([isinstance(x, Tensor) for x in given]),
            num_results=len(results),
            results=addresses(results),
            result_bytes=numbers(sizes),
        )

    def _word(self, op: Any, argument: Any, value: Any) -> int:
        """Return an argument of an operator as torch's C interface wants it."""
        if isinstance(value, Tensor):
            return self.handle(value)
        if value is None or value is False or value == torch.device("cpu"):
            return 0  # False and the CPU are what None stands for
        if value is True and str(argument.type) == "bool":
            return 1
        if isinstance(value, int) and str(argument.type) == "int":
            return value
        if isinstance(value, float) and str(argument.type) == "float":
            return int.from_bytes(struct.pack("=d", value), sys.byteorder)
        raise ReplayError(f"{op} has an argument {argument.name}={value!r}")


class _Products:
    """Stands for ``extern_kernels``."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name not in PRODUCTS:
            raise ReplayError(f"it calls {name}")

        def product(*args: Tensor, out: Tensor, alpha: float = 1, beta: float = 1) -> None:
            scales = {"beta": beta, "alpha": alpha} if PRODUCTS[name] == PRODUCT_AND_SUM else {}
            self._notes.product(name, out, args, **scales)

        return product


class _Namespace:
    """Stands for a module of torch: of its functions, operators are noted and others refused."""

    def __init__(self, notes: Notes, module: Any) -> None:
        self._notes, self._module = notes, module

    def __getattr__(self, name: str) -> Any:
        from .loops.note_rounds import note_rounds

        found = getattr(self._module, name)
        if str(found) == "ppl.rounds.default":
            return partial(note_rounds, self._notes)
        if isinstance(found, torch._ops.OpOverload):
            return lambda *args, **kwargs: self._notes.operator(found, *args, **kwargs)
        if isinstance(
            found, (torch._ops._Ops, torch._ops._OpNamespace, torch._ops.OpOverloadPacket)
        ):
            return _Namespace(self._notes, found)
        if isinstance(found, torch.dtype):
            return found
        raise ReplayError(f"it calls torch's {name}")


def refuse_division(program: GraphModule) -> None:
    """Refuse division of integers: inductor notes a zero where all threads see it."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        is_integer = isinstance(value, Tensor) and not value.is_floating_point()
        if node.target in DIVISIONS and is_integer and isinstance(node.args[1], torch.fx.Node):
            raise ReplayError("it divides integers")
