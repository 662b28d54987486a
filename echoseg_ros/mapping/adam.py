"""Adam (Kingma and Ba 2015) on the rows that have a gradient: plain torch, and a CPU kernel of the same arithmetic."""

from __future__ import annotations

import numba as nb
import numpy as np
import torch
from torch import Tensor

from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.types import Float32Array

# Decay rates as published; the epsilon is that of 3DGS, whose gradients are small.
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-15

# Rows of a loop turn: their numbers stay in the cache between its two passes.
_ROWS = 512

_F = np.float32
_EPSILON = _F(EPSILON)
_REST1, _REST2 = _F(1 - BETA1), _F(1 - BETA2)
_ZERO, _ONE = _F(0), _F(1)


def adam_step(
    parameters: Gaussians,
    first: Gaussians,
    second: Gaussians,
    updates: Tensor,
    gradients: Gaussians,
    learning_rates: dict[str, float | Tensor],
) -> None:
    """One step of Adam, in place, on the rows whose opacity has a gradient; the other rows stay.

    Bias is corrected by each row's own count. Arguments: see adam_step_cpu; any device.
    """
    if parameters.device.type == "cpu":
        adam_step_cpu(parameters, first, second, updates, gradients, learning_rates)
        return
    seen = gradients.opacity_logits != 0
    updates += seen
    count = updates.clamp(min=1)
    step = seen * (1 - BETA2**count).sqrt() / (1 - BETA1**count)
    decay_first, decay_second = torch.where(seen, BETA1, 1.0), torch.where(seen, BETA2, 1.0)
    for name, gradient in gradients.items():
        parameter, rate = getattr(parameters, name), learning_rates[name]
        by_row = (slice(None),) + (None,) * (parameter.dim() - 1)
        first_moment, second_moment = getattr(first, name), getattr(second, name)
        first_moment.mul_(decay_first[by_row]).add_(gradient, alpha=1 - BETA1)
        second_moment.mul_(decay_second[by_row]).addcmul_(gradient, gradient, value=1 - BETA2)
        direction = second_moment.sqrt().add_(EPSILON).reciprocal_().mul_(first_moment)
        parameter.addcmul_(direction, (step * rate)[by_row], value=-1)


def adam_step_cpu(
    parameters: Gaussians,
    first: Gaussians,
    second: Gaussians,
    updates: Tensor,
    gradients: Gaussians,
    learning_rates: dict[str, float | Tensor],
) -> None:
    """One step of Adam, in place, on the rows whose opacity has a gradient; the others keep their place.

    parameters, first and second moments, gradients: N rows of contiguous float32 on the CPU; updates: [N] float32, how
    often each row moved, counted up here; learning_rates: per field, a number or one per row [N].
    """
    if len(parameters) == 0:
        return
    steps = _step_sizes(_flat(gradients.opacity_logits), _flat(updates), _corrections(int(updates.max()) + 1))
    for name, gradient in gradients.items():
        rate = learning_rates[name]
        rates = _flat(rate) if isinstance(rate, Tensor) else np.array([rate], np.float32)
        parameter, mean, square = (_flat(getattr(values, name)) for values in (parameters, first, second))
        _move(parameter, mean, square, _flat(gradient), steps, rates)


def _flat(tensor: Tensor) -> Float32Array:
    # view, not reshape: a copy would swallow what is written.
    return tensor.detach().view(-1).numpy()  # type: ignore[no-any-return]


def _corrections(most: int) -> Float32Array:  # [most + 1]
    """sqrt(1 - beta2^n) / (1 - beta1^n) for n = 0..most, with 0 for n = 0."""
    n = np.arange(1, most + 1)
    return np.concatenate([[0.0], np.sqrt(1 - BETA2**n) / (1 - BETA1**n)]).astype(np.float32)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _step_sizes(seen: Float32Array, updates: Float32Array, corrections: Float32Array) -> Float32Array:
    """Bias corrections [N], 0 where `seen` [N] is 0; counts up the updates of the others."""
    steps = np.zeros(len(seen), np.float32)
    for i in range(len(seen)):
        if seen[i] != _ZERO:
            updates[i] += _ONE
            steps[i] = corrections[np.int64(updates[i])]
    return steps


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def _move(
    parameter: Float32Array,
    first: Float32Array,
    second: Float32Array,
    gradient: Float32Array,
    steps: Float32Array,
    rates: Float32Array,
) -> None:
    """Moments and parameter [N * D] of one field; steps: [N]; rates: [N] or [1]."""
    count = len(steps)
    width = len(parameter) // count
    for chunk in nb.prange((count + _ROWS - 1) // _ROWS):
        begin, end = chunk * _ROWS, min((chunk + 1) * _ROWS, count)
        # Spread over the columns, so that the pass over the elements is one plain loop.
        spread = np.empty((2, _ROWS * width), np.float32)
        for i in range(begin, end):
            rate = rates[i] if len(rates) > 1 else rates[0]
            for k in range(width):
                spread[0, (i - begin) * width + k] = steps[i] * rate
                spread[1, (i - begin) * width + k] = _ONE if steps[i] > _ZERO else _ZERO
        piece = slice(begin * width, end * width)
        _move_piece(parameter[piece], first[piece], second[piece], gradient[piece], spread[0], spread[1])


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _move_piece(
    parameter: Float32Array,
    first: Float32Array,
    second: Float32Array,
    gradient: Float32Array,
    steps: Float32Array,
    seen: Float32Array,
) -> None:
    for k in range(len(parameter)):
        g = gradient[k]
        m = first[k] * (_ONE - seen[k] * _REST1) + _REST1 * g
        v = second[k] * (_ONE - seen[k] * _REST2) + _REST2 * g * g
        first[k], second[k] = m, v
        parameter[k] -= steps[k] * m / (_F(np.sqrt(v)) + _EPSILON)
