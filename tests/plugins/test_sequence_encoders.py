"""The encoders against torch's own layers and against the equations of their papers."""

from __future__ import annotations

import math

import pytest
import torch
from histories import made, ragged_data

from recshield.core.seeds import generator
from recshield.data.interactions import DataInfo
from recshield_sequence import GRU4Rec, GRU4RecConfig, SASRec, SASRecConfig
from recshield_sequence.dropping import Dropper
from recshield_sequence.sasrec import Block

STILL = Dropper(0.0, 0, torch.device("cpu"))


def torch_layer(block: Block, width: int) -> torch.nn.TransformerEncoderLayer:
    """Return torch's layer with the block's weights; what attention returns is not projected, so that is identity."""
    layer = torch.nn.TransformerEncoderLayer(width, block.heads, width, 0.0, "relu", batch_first=True, norm_first=False)
    attention = layer.self_attn
    held = {
        attention.in_proj_weight: block.attention,
        attention.in_proj_bias: block.attention_bias,
        attention.out_proj.weight: torch.eye(width),
        attention.out_proj.bias: torch.zeros(width),
        layer.linear1.weight: block.inner,
        layer.linear1.bias: block.inner_bias,
        layer.linear2.weight: block.outer,
        layer.linear2.bias: block.outer_bias,
        layer.norm1.weight: block.after_attention.weight,
        layer.norm1.bias: block.after_attention.bias,
        layer.norm2.weight: block.after_inner.weight,
        layer.norm2.bias: block.after_inner.bias,
    }
    with torch.no_grad():
        for goal, source in held.items():
            goal.copy_(source)
    return layer.train()  # dropout is 0; evaluation mode takes another path through torch


def shaken(block: torch.nn.Module, seed: int = 0) -> None:
    """Give every parameter random values, biases and norms included."""
    with torch.no_grad():
        for name, held in block.named_parameters():
            held.add_(0.3 * torch.randn(held.shape, generator=generator(seed, name)))


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_a_block_is_torchs_encoder_layer(heads: int) -> None:
    width, lines, length = 8, 3, 5
    block = Block(width, heads, generator(0, "block"))
    shaken(block)
    values = torch.randn((lines, length, width), generator=generator(0, "values"))
    mask = torch.nn.Transformer.generate_square_subsequent_mask(length)
    wanted = torch_layer(block, width)(values, src_mask=mask, is_causal=True)
    found = block(values.view(-1, width), ((lines, length),), STILL).view(lines, length, width)
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)
    unmasked = torch_layer(block, width)(values)
    assert not torch.allclose(found, unmasked, rtol=1e-2, atol=1e-2)


def test_sasrec_is_the_equations_of_the_paper() -> None:
    """Eq. 1 to 4 for one user alone, on torch's layers; positions count from the most recent item."""
    data = ragged_data()
    model = made(SASRecConfig(dims=8, length=6, blocks=2, heads=1, std=0.3), data)
    assert isinstance(model, SASRec)
    shaken(model)
    for user in (1, 4, 5):
        items = torch.from_numpy(data.train.of(user)[-6:]).long()
        count = len(items)
        values = math.sqrt(8) * model.item[items] + model.position[torch.arange(count - 1, -1, -1)]
        mask = torch.nn.Transformer.generate_square_subsequent_mask(count)
        for block in model.layers:
            assert isinstance(block, Block)
            values = torch_layer(block, 8)(values[None], src_mask=mask, is_causal=True)[0]
        last = torch.nn.functional.layer_norm(values[-1], (8,), model.final.weight, model.final.bias)
        found = model.score(torch.tensor([user]))[0]
        assert torch.allclose(found, model.item @ last, rtol=1e-4, atol=1e-4)


def test_gru4rec_is_the_equations_of_the_gated_unit() -> None:
    """Cho et al. 2014, as torch writes them: reset, update and candidate from input and state."""
    data = ragged_data()
    model = made(GRU4RecConfig(dims=8, length=6, std=0.3), data)
    assert isinstance(model, GRU4Rec)
    cell = model.cell
    state = torch.zeros(8)
    for item in data.train.of(5)[-6:]:
        by_input = cell.weight_ih_l0 @ model.item[int(item)] + cell.bias_ih_l0
        by_state = cell.weight_hh_l0 @ state + cell.bias_hh_l0
        reset, update = (torch.sigmoid(by_input[8 * n : 8 * n + 8] + by_state[8 * n : 8 * n + 8]) for n in (0, 1))
        candidate = torch.tanh(by_input[16:] + reset * by_state[16:])
        state = (1 - update) * candidate + update * state
    assert torch.allclose(model.score(torch.tensor([5]))[0], model.item @ state, rtol=1e-4, atol=1e-5)


def test_start_values_follow_the_seed_alone() -> None:
    info = DataInfo("tiny", 4, 9, 12)
    for kind, config in ((SASRec, SASRecConfig(dims=8)), (GRU4Rec, GRU4RecConfig(dims=8))):
        one, same, other = (kind(info, config, generator(seed, "start")).state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(one[name], same[name]) for name in one)
        assert not torch.equal(one["item"], other["item"])
        assert float(one["item"].std()) == pytest.approx(config.std, rel=0.3)
