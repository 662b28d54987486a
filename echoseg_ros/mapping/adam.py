"""Adam (Kingma and Ba 2015) on the rows that have a gradient: in torch for any device, and as a numba kernel for the CPU."""

from __future__ import annotations

import numba as nb
import numpy as np
import torch
from torch import Tensor

from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.types import Float32Array

# Decay rate of the first moment (Kingma and Ba 2015).
BETA1 = 0.9
# Decay rate of the second moment (Kingma and Ba 2015).
BETA2 = 0.999
# Added to the root of the second moment, as in 3DGS (Kerbl et al. 2023), whose gradients are small.
EPSILON = 1e-15

# Rows that a kernel handles at a time: their data stays in the cache between its two passes.
_ROWS = 512

_F = np.float32
_EPSILON = _F(EPSILON)
_REST1, _REST2 = _F(1 - BETA1), _F(1 - BETA2)
_ZERO, _ONE = _F(0), _F(1)


def adam_step(
    parameters: Gaussians,
    first_moments: Gaussians,
    second_moments: Gaussians,
    update_counts: Tensor,
    gradients: Gaussians,
    learning_rates: dict[str, float | Tensor],
) -> None:
    """Take one step of Adam in place on the rows whose opacity has a gradient; the other rows stay.

    The bias correction uses each row's own update count. The tensors may be on any device; arguments as in adam_step_cpu.
    """
    if parameters.device.type == "cpu":
        adam_step_cpu(parameters, first_moments, second_moments, update_counts, gradients, learning_rates)
        return
    visible = gradients.opacity_logits != 0
    update_counts += visible
    count = update_counts.clamp(min=1)
    step = visible * (1 - BETA2**count).sqrt() / (1 - BETA1**count)
    decay_first, decay_second = torch.where(visible, BETA1, 1.0), torch.where(visible, BETA2, 1.0)
    for name, gradient in gradients.items():
        parameter, rate = getattr(parameters, name), learning_rates[name]
        by_row = (slice(None),) + (None,) * (parameter.dim() - 1)
        first_moment, second_moment = getattr(first_moments, name), getattr(second_moments, name)
        first_moment.mul_(decay_first[by_row]).add_(gradient, alpha=1 - BETA1)
        second_moment.mul_(decay_second[by_row]).addcmul_(gradient, gradient, value=1 - BETA2)
        direction = second_moment.sqrt().add_(EPSILON).reciprocal_().mul_(first_moment)
        parameter.addcmul_(direction, (step * rate)[by_row], value=-1)


def adam_step_cpu(
    parameters: Gaussians,
    first_moments: Gaussians,
    second_moments: Gaussians,
    update_counts: Tensor,
    gradients: Gaussians,
    learning_rates: dict[str, float | Tensor],
) -> None:
    """Take one step of Adam in place on the rows whose opacity has a gradient; the other rows stay.

    parameters, first_moments, second_moments, gradients: N rows of contiguous float32 on the CPU; update_counts: [N]
    float32, steps of each row so far, incremented here; learning_rates: per field, a number or one per row [N].
    """
    if len(parameters) == 0:
        return
    corrections = _bias_corrections(int(update_counts.max()) + 1)
    steps = _step_sizes(_flat(gradients.opacity_logits), _flat(update_counts), corrections)
    for name, gradient in gradients.items():
        rate = learning_rates[name]
        rates = _flat(rate) if isinstance(rate, Tensor) else np.array([rate], np.float32)
        parameter, mean, square = (
            _flat(getattr(values, name)) for values in (parameters, first_moments, second_moments)
        )
        _update_field(parameter, mean, square, _flat(gradient), steps, rates)


def _flat(tensor: Tensor) -> Float32Array:
    # view fails on a tensor that is not contiguous; reshape would copy it, and the update would be lost.
    flat: Float32Array = tensor.detach().view(-1).numpy()
    return flat


def _bias_corrections(max_count: int) -> Float32Array:  # [max_count + 1]
    """Bias correction sqrt(1 - beta2^n) / (1 - beta1^n) for n = 0..max_count; 0 for n = 0."""
    n = np.arange(1, max_count + 1)
    return np.concatenate([[0.0], np.sqrt(1 - BETA2**n) / (1 - BETA1**n)]).astype(np.float32)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _step_sizes(gradient: Float32Array, update_counts: Float32Array, corrections: Float32Array) -> Float32Array:
    """Bias corrections [N], 0 where `gradient` [N] is 0; increments the update counts of the other rows."""
    steps = np.zeros(len(gradient), np.float32)
    for i in range(len(gradient)):
        if gradient[i] != _ZERO:
            update_counts[i] += _ONE
            steps[i] = corrections[np.int64(update_counts[i])]
    return steps


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def _update_field(
    parameter: Float32Array,
    first_moment: Float32Array,
    second_moment: Float32Array,
    gradient: Float32Array,
    steps: Float32Array,
    rates: Float32Array,
) -> None:
    """Update the moments and parameters [N * D] of one field; steps: [N] bias corrections; rates: [N] or [1]."""
    count = len(steps)
    width = len(parameter) // count
    for chunk in nb.prange((count + _ROWS - 1) // _ROWS):
        begin, end = chunk * _ROWS, min((chunk + 1) * _ROWS, count)
        # Copied to every column, so that the pass over the elements is one loop that the compiler vectorises.
        by_element = np.empty((2, _ROWS * width), np.float32)
        for i in range(begin, end):
            rate = rates[i] if len(rates) > 1 else rates[0]
            for k in range(width):
                by_element[0, (i - begin) * width + k] = steps[i] * rate
                by_element[1, (i - begin) * width + k] = _ONE if steps[i] > _ZERO else _ZERO
        elements = slice(begin * width, end * width)
        _update_elements(
            parameter[elements],
            first_moment[elements],
            second_moment[elements],
            gradient[elements],
            by_element[0],
            by_element[1],
        )


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _update_elements(
    parameter: Float32Array,
    first_moment: Float32Array,
    second_moment: Float32Array,
    gradient: Float32Array,
    steps: Float32Array,
    visible: Float32Array,
) -> None:
    """Update consecutive elements; steps: learning rate times bias correction; visible: 1 where the row has a gradient."""
    for k in range(len(parameter)):
        g = gradient[k]
        m = first_moment[k] * (_ONE - visible[k] * _REST1) + _REST1 * g
        v = second_moment[k] * (_ONE - visible[k] * _REST2) + _REST2 * g * g
        first_moment[k], second_moment[k] = m, v
        parameter[k] -= steps[k] * m / (_F(np.sqrt(v)) + _EPSILON)
