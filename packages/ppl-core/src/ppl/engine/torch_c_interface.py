"""Torch's stable C interface, and programs as ``cpp/program.hpp`` has them."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_double, c_int32, c_int64, c_void_p
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..errors import PPLError


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


def num_bytes(x: Tensor) -> int:
    """Return how many bytes a tensor reaches over, gaps included."""
    if not x.numel():
        return 0
    last = sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return (last + 1) * x.element_size()


def words_of(values: Sequence[int]) -> Any:
    """Return numbers as an array of words."""
    return (c_void_p * max(1, len(values)))(*values)


def numbers(values: Sequence[int]) -> Any:
    """Return numbers as an array of 64 bits each."""
    return (c_int64 * max(1, len(values)))(*values)


def addresses(tensors: Sequence[Tensor]) -> Any:
    """Return the addresses of tensors as an array."""
    return words_of([x.data_ptr() for x in tensors])


@cache
def libtorch() -> ctypes.CDLL:
    """Return the library with torch's stable C interface, which compiled programs call, too."""
    try:
        return ctypes.CDLL(os.path.join(os.path.dirname(torch.__file__), "lib", "libtorch_cpu.so"))
    except OSError as error:
        raise ReplayError(f"torch has no C interface here: {error}") from error


def address_of(name: str) -> int:
    """Return the address of a function of torch's C interface."""
    try:
        return ctypes.cast(getattr(libtorch(), name), c_void_p).value or 0
    except AttributeError:
        raise ReplayError(f"torch has no {name} here") from None


@cache
def torch_functions() -> Torch:
    """Return the functions of torch that C++ calls."""
    return Torch(
        address_of("aoti_torch_new_tensor_handle"),
        address_of("aoti_torch_delete_tensor_object"),
        address_of("aoti_torch_get_data_ptr"),
        address_of("aoti_torch_call_dispatcher"),
    )


def new_handle(x: Tensor) -> int:
    """Return a new handle for the memory of a tensor, in torch's C interface."""
    library, handle = libtorch(), c_void_p()
    dtype = getattr(library, f"aoti_torch_dtype_{str(x.dtype).removeprefix('torch.')}")()
    error = library.aoti_torch_create_tensor_from_blob(
        c_void_p(x.data_ptr()),
        c_int64(x.dim()),
        numbers(x.shape),
        numbers(x.stride()),
        c_int64(0),
        c_int32(dtype),
        c_int32(library.aoti_torch_device_type_cpu()),
        c_int32(0),
        byref(handle),
    )
    if error or handle.value is None:
        raise ReplayError(f"torch makes no handle for a tensor of {x.dtype}")
    return handle.value


def kernel_address(kernel: Any) -> int:
    """Return the address of inductor's kernel in the library that it was loaded from."""
    kernel = kernel.result() if hasattr(kernel, "result") else kernel
    module = getattr(kernel, "__self__", None) or sys.modules.get(getattr(kernel, "__module__", ""))
    path = getattr(module, "__file__", None)
    if path is None:
        raise ReplayError("the library of a kernel is not known")
    return ctypes.cast(ctypes.CDLL(path).kernel, c_void_p).value or 0
