"""Convolutions with batch norm and ReLU whose weights stand still: fewer passes over the maps, less to remember."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Sequential
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input


class _Stack(torch.autograd.Function):
    """Convolution, bias and ReLU, layer after layer; for the way back one byte per value of a map is kept."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, strides: tuple[tuple[int, int], ...], *parts: Tensor) -> Tensor:
        """Return the maps after the last ReLU.

        Args:
            ctx: of autograd.
            maps: (B, channels, height, width).
            strides: of each layer.
            parts: the weights of all layers, then their biases.
        """
        weights, biases = parts[: len(strides)], parts[len(strides) :]
        shapes, is_on = [], []
        for weight, bias, stride in zip(weights, biases, strides, strict=True):
            shapes.append(maps.shape)
            maps = conv2d(maps, weight, bias, stride, padding=1).relu_()
            is_on.append(maps > 0)
        ctx.shapes, ctx.strides = shapes, strides
        ctx.save_for_backward(*weights, *is_on)
        return maps

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient with respect to the maps that went in; the weights have none."""
        count, saved = len(ctx.strides), ctx.saved_tensors
        slope = slopes[0]
        for place in reversed(range(count)):
            own = slope * saved[count + place]
            slope = conv2d_input(ctx.shapes[place], saved[place], own, ctx.strides[place], padding=1)
        return (slope, *([None] * (2 * count + 1)))


def folded(layers: Sequential, maps: Tensor) -> Tensor:
    """Return the maps after all layers in evaluation, each batch norm folded into the convolution before it.

    The same as the layers up to float rounding. Differentiable with respect to the maps alone.

    Args:
        layers: 3 x 3 convolution with padding 1 and no bias, batch norm, ReLU, and so on.
        maps: (B, channels, height, width).
    """
    weights, biases, strides = [], [], []
    for convolution, norm, _ in zip(*[iter(layers)] * 3, strict=True):
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = convolution.weight * factor.view(-1, 1, 1, 1)
        weights.append(weight.detach().contiguous(memory_format=torch.channels_last))
        biases.append((norm.bias - norm.running_mean * factor).detach())
        strides.append(convolution.stride)
    held = maps.contiguous(memory_format=torch.channels_last)
    return cast(Tensor, _Stack.apply(held, tuple(strides), *weights, *biases))
