"""From what a transformers model gives to one embedding an example; pure functions over tensors.

pooler   the model's own pooled output, flattened (MobileNet, ResNet, ConvNeXt, Swin, AST …)
cls      the first token of the last hidden state (ViT, DeiT …)
mean     mean over the tokens or time steps that are no padding (BERT, GPT-2, wav2vec 2.0 …)
average  mean over height and width of a feature map (n, c, h, w)
layers   mean over the tokens of the mean over all layers, embeddings left out (see layers.py)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headstart.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

CLASS_TOKENS = ("cls_token", "class_embedding", "class_token", "cls_embedding")


def choose_pooling(modality: str, module: nn.Module, output: Any, *, text_cls: bool = False) -> str:
    """Return the name of the pooling for what `module` gave in a trial run.

    `text_cls`: the folder says (sentence-transformers' 1_Pooling) that the first token counts.
    Raises ModelError when the output holds nothing to pool.
    """
    hidden = getattr(output, "last_hidden_state", None)
    if modality == "text" and hidden is not None:
        return "cls" if text_cls else "mean"
    if getattr(output, "pooler_output", None) is not None:
        return "pooler"
    if hidden is None:
        raise ModelError(
            f"{type(module).__name__} gives neither pooler_output nor last_hidden_state, so it has "
            "no embedding to use; choose an encoder model."
        )
    if hidden.ndim == 4:
        return "average"
    names = (name.rpartition(".")[2] for name, _ in module.named_parameters())
    if modality == "image" and any(name in CLASS_TOKENS for name in names):
        return "cls"
    return "mean"


def pool(pooling: str, output: Any, mask: Tensor | None) -> Tensor:
    """Return embeddings (n, width). `mask` (n, t): 1 where a token or time step counts."""
    if pooling == "pooler":
        pooled: Tensor = output.pooler_output
        # A 4-d "pooled" map that still has height and width is averaged, not spread out.
        return pooled.flatten(2).mean(2) if pooled.ndim == 4 else pooled.flatten(1)
    if pooling == "layers":
        after = output.hidden_states[1:]
        return masked_mean(sum(after[1:], after[0]) / len(after), mask)
    hidden: Tensor = output.last_hidden_state
    if pooling == "average":
        return hidden.flatten(2).mean(2)
    if pooling == "cls":
        return hidden[:, 0]
    return masked_mean(hidden, mask)


def masked_mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of hidden (n, t, d) over the steps where mask (n, t) is not 0; all steps for None."""
    if mask is None:
        return hidden.mean(1)
    weights = mask.to(hidden.dtype)[:, :, None]
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def step_mask(module: Any, mask: Tensor | None, steps: int) -> Tensor | None:
    """Stretch a mask over input steps (n, t) to one over `steps` output steps (n, steps).

    The model's own arithmetic of convolution lengths is used where it has it (wav2vec 2.0,
    Whisper); else lengths shrink in proportion. Padding is taken to stand at the end.
    """
    if mask is None or mask.ndim != 2 or mask.shape[1] == steps:
        return mask if mask is not None and mask.ndim == 2 else None
    import torch

    lengths = mask.sum(1)
    measure = getattr(module, "_get_feat_extract_output_lengths", None)
    if measure is not None:
        lengths = measure(lengths)
    else:
        lengths = torch.ceil(lengths * (steps / mask.shape[1]))
    lengths = lengths.to(torch.long).clamp(min=1, max=steps)
    return torch.arange(steps, device=mask.device)[None, :] < lengths[:, None]
