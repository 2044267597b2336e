"""Replay a compiled program from C++, without Python between its calls.

What inductor generates is a Python function that calls kernels, products of matrices and operators
of torch, one after another, with new buffers each time.  A :class:`Replay` runs this function once
with other globals, which note each call and the addresses of its arguments; ``cpp/program.hpp``
makes the same calls again, in the same buffers.  A small program then takes a hundredth of the
time, without the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import types
from collections.abc import Callable, Sequence
from ctypes import POINTER, byref, c_char_p, c_double, c_int32, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from ..errors import PPLError
from . import cpp_library
from .inductor import CompiledProgram

HEADERS = Path(__file__).parent / "cpp"
KERNEL, PRODUCT, PRODUCT_AND_SUM, OPERATOR = range(4)
PRODUCTS = {"mm": PRODUCT, "bmm": PRODUCT, "addmm": PRODUCT_AND_SUM, "baddbmm": PRODUCT_AND_SUM}
MOST_ARGUMENTS, MOST_OPERATOR_ARGUMENTS, STEP = 256, 16, 8  # as in cpp/program.hpp
aten = torch.ops.aten
DIVISIONS = (
    aten.div.Tensor_mode,
    aten.floor_divide.default,
    aten.remainder.Tensor,
    aten.fmod.Tensor,
)


class ReplayError(PPLError, RuntimeError):
    """A compiled program that cannot be replayed from C++; it can be called as before."""


class Call(ctypes.Structure):
    """The struct of the same name in ``cpp/program.hpp``, as the next ones."""

    _fields_ = [
        ("kind", c_int64),
        ("function", c_void_p),
        ("num_args", c_int64),
        ("args", POINTER(c_void_p)),
        ("beta", c_double),
        ("alpha", c_double),
        ("name", c_char_p),
        ("overload", c_char_p),
        ("is_handle", POINTER(c_int64)),
        ("num_results", c_int64),
        ("results", POINTER(c_void_p)),
        ("result_bytes", POINTER(c_int64)),
    ]


class Torch(ctypes.Structure):
    """Functions of torch's C interface."""

    _fields_ = [
        ("new_handle", c_void_p),
        ("delete_handle", c_void_p),
        ("data_ptr", c_void_p),
        ("call_operator", c_void_p),
    ]


class Program(ctypes.Structure):
    """All calls of a program."""

    _fields_ = [
        ("num_calls", c_int64),
        ("calls", POINTER(Call)),
        ("inputs", POINTER(c_void_p)),
        ("outputs", POINTER(c_void_p)),
        ("torch", POINTER(Torch)),
    ]


class Replay:
    """The calls of a compiled program on buffers of its own, for one thread at a time.

    Args:
        compiled: What :func:`~ppl.engine.inductor.compile_program` returned, for one thread.
        inputs: Inputs of the shapes, strides and dtypes that all replays will have.

    Attributes:
        inputs: Buffers that a replay reads.
        outputs: Buffers that it writes.
        address: Of the C++ struct.

    Raises:
        ReplayError: If it does what C++ cannot repeat.
        OSError: If there is no C++ compiler.
    """

    def __init__(self, compiled: CompiledProgram, inputs: Sequence[Tensor]) -> None:
        _refuse_division(compiled.recorded)
        self._library = cpp_library.load(HEADERS / "replay.cpp")
        self.inputs = [_copy(x) for x in inputs]
        notes = _Notes()
        outputs = notes.watch(compiled.generated, [*self.inputs, *compiled.constants])
        if not all(x.is_contiguous() for x in outputs):
            raise ReplayError("its results are not contiguous")
        self.outputs: list[Tensor] = list(outputs)
        self._kept = [notes, _addresses(self.inputs), _addresses(self.outputs), _torch()]
        calls = (Call * len(notes.calls))(*notes.calls)
        self._program = Program(len(calls), calls, *self._kept[1:3], ctypes.pointer(self._kept[3]))
        self.address: int = ctypes.addressof(self._program)

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """Return the results at inputs, copies of the buffers.

        Raises:
            RuntimeError: If a call fails.
        """
        for buffer, x in zip(self.inputs, inputs, strict=True):
            buffer.copy_(x)
        if self._library.run_program(c_void_p(self.address)):
            raise RuntimeError("a call of the replayed program failed")
        return [x.clone() for x in self.outputs]


class _Notes:
    """Notes the calls that a generated function makes."""

    def __init__(self) -> None:
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
        self._handles.append(_handle(self.keep(tensor)))
        return self._handles[-1]

    def __del__(self) -> None:
        for handle in self._handles:
            _libtorch().aoti_torch_delete_tensor_object(c_void_p(handle))

    def note(self, kind: int, args: Sequence[int], **fields: Any) -> None:
        """Note a call."""
        words = _words(args)
        self._kept += [words, fields]
        self.calls.append(Call(kind=kind, num_args=len(args), args=words, **fields))

    def _kernel(self, kernel: Any) -> Callable[..., None]:
        def call(*args: Any) -> None:
            if len(args) > MOST_ARGUMENTS or not all(isinstance(x, Tensor) for x in args):
                raise ReplayError(f"a kernel has {len(args)} arguments, or numbers among them")
            addresses = [x.data_ptr() for x in args] + [0] * (-len(args) % STEP)
            self.note(KERNEL, addresses, function=_kernel_address(kernel))
            kernel(*args)

        return call

    def product(self, name: str, out: Tensor, args: Sequence[Tensor], **scales: float) -> None:
        """Make and note a product of matrices."""
        handles = [self.handle(x) for x in (out, *args)]
        function = _address(f"aoti_torch_cpu_{name}_out")
        self.note(PRODUCTS[name], handles, function=function, **scales)
        getattr(torch, name)(*args, **scales, out=out)

    def operator(self, op: Any, *args: Any, **kwargs: Any) -> Any:
        """Make and note a call of an operator of torch."""
        schema = op._schema
        given = [args[i] if i < len(args) else kwargs.get(a.name, a.default_value)
                 for i, a in enumerate(schema.arguments)]  # fmt: skip
        if torch.Tag.nondeterministic_seeded in op.tags or len(given) > MOST_OPERATOR_ARGUMENTS:
            raise ReplayError(f"{op} draws at random, or has many arguments")
        words = [self._word(op, a, x) for a, x in zip(schema.arguments, given, strict=True)]
        result = op(*args, **kwargs)
        results = [self.keep(x) for x in ([result] if isinstance(result, Tensor) else result)]
        self.note(
            OPERATOR,
            words,
            name=schema.name.encode(),
            overload=schema.overload_name.encode(),
            is_handle=_numbers([isinstance(x, Tensor) for x in given]),
            num_results=len(results),
            results=_addresses(results),
            result_bytes=_numbers([_num_bytes(x) for x in results]),
        )
        return result

    def _word(self, op: Any, argument: Any, value: Any) -> int:
        """Return an argument of an operator as torch's C interface wants it."""
        if isinstance(value, Tensor):
            return self.handle(value)
        if value is None or isinstance(value, bool):
            return int(bool(value))
        if isinstance(value, int) and str(argument.type) == "int":
            return value
        if isinstance(value, float) and str(argument.type) == "float":
            return int.from_bytes(struct.pack("=d", value), sys.byteorder)
        raise ReplayError(f"{op} has an argument {argument.name}={value!r}")


class _Products:
    """Stands for ``extern_kernels``."""

    def __init__(self, notes: _Notes) -> None:
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

    def __init__(self, notes: _Notes, module: Any) -> None:
        self._notes, self._module = notes, module

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if isinstance(found, torch._ops.OpOverload):
            return lambda *args, **kwargs: self._notes.operator(found, *args, **kwargs)
        if isinstance(
            found, (torch._ops._Ops, torch._ops._OpNamespace, torch._ops.OpOverloadPacket)
        ):
            return _Namespace(self._notes, found)
        if isinstance(found, torch.dtype):
            return found
        raise ReplayError(f"it calls torch's {name}")


def _refuse_division(program: GraphModule) -> None:
    """Refuse division of integers: inductor notes a zero where all threads see it."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        is_integer = isinstance(value, Tensor) and not value.is_floating_point()
        if node.target in DIVISIONS and is_integer and isinstance(node.args[1], torch.fx.Node):
            raise ReplayError("it divides integers")


def _copy(x: Tensor) -> Tensor:
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype).copy_(x)


def _num_bytes(x: Tensor) -> int:
    if not x.numel():
        return 0
    last = sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return (last + 1) * x.element_size()


def _words(values: Sequence[int]) -> Any:
    return (c_void_p * max(1, len(values)))(*values)


def _numbers(values: Sequence[int]) -> Any:
    return (c_int64 * max(1, len(values)))(*values)


def _addresses(tensors: Sequence[Tensor]) -> Any:
    return _words([x.data_ptr() for x in tensors])


@cache
def _libtorch() -> ctypes.CDLL:
    """Return the library with torch's stable C interface, which compiled programs call, too."""
    try:
        return ctypes.CDLL(os.path.join(os.path.dirname(torch.__file__), "lib", "libtorch_cpu.so"))
    except OSError as error:
        raise ReplayError(f"torch has no C interface here: {error}") from error


def _address(name: str) -> int:
    try:
        return ctypes.cast(getattr(_libtorch(), name), c_void_p).value or 0
    except AttributeError:
        raise ReplayError(f"torch has no {name} here") from None


@cache
def _torch() -> Torch:
    return Torch(
        _address("aoti_torch_new_tensor_handle"),
        _address("aoti_torch_delete_tensor_object"),
        _address("aoti_torch_get_data_ptr"),
        _address("aoti_torch_call_dispatcher"),
    )


def _handle(x: Tensor) -> int:
    """Return a new handle for the memory of a tensor, in torch's C interface."""
    library, handle = _libtorch(), c_void_p()
    dtype = getattr(library, f"aoti_torch_dtype_{str(x.dtype).removeprefix('torch.')}")()
    error = library.aoti_torch_create_tensor_from_blob(
        c_void_p(x.data_ptr()),
        c_int64(x.dim()),
        _numbers(x.shape),
        _numbers(x.stride()),
        c_int64(0),
        c_int32(dtype),
        c_int32(library.aoti_torch_device_type_cpu()),
        c_int32(0),
        byref(handle),
    )
    if error or handle.value is None:
        raise ReplayError(f"torch makes no handle for a tensor of {x.dtype}")
    return handle.value


def _kernel_address(kernel: Any) -> int:
    """Return the address of inductor's kernel in the library that it was loaded from."""
    kernel = kernel.result() if hasattr(kernel, "result") else kernel
    module = getattr(kernel, "__self__", None) or sys.modules.get(getattr(kernel, "__module__", ""))
    path = getattr(module, "__file__", None)
    if path is None:
        raise ReplayError("the library of a kernel is not known")
    return ctypes.cast(ctypes.CDLL(path).kernel, c_void_p).value or 0
