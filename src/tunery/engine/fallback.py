"""
Everything that needs transformers: causal models that `decoder.py` does not compute, and tokenizers rebuilt by their
classes.

Such a model is tuned with plain padded batches through its own forward pass, and rereads the whole row for each token
of an answer. This is exact for every causal model that transformers can load, but slower.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer as Backend
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from tunery.engine.lora import Adapter, shape_of
from tunery.engine.loss import LABEL_SMOOTHING
from tunery.engine.rows import EncodedExample
from tunery.engine.weights import is_more_than_text, read_config, read_tensors
from tunery.errors import FailedPrecondition, InvalidArgument
from tunery.types import WeightFormat


@contextmanager
def quiet_transformers() -> Iterator[Any]:
    """
    Yield transformers with its progress bars kept off stderr, since the consumer of Progress draws its own.

    Raises FailedPrecondition if it is not installed.
    """
    try:
        import transformers
        from transformers.utils import logging
    except ImportError as error:
        raise FailedPrecondition(
            "This base needs transformers, which is not installed: pip install 'tunery[transformers]'"
        ) from error

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # views of the file are in read-only memory; nothing writes to them
            warnings.filterwarnings("ignore", message="The given (NumPy array|buffer) is not writable")
            yield transformers
    finally:
        if was_on:
            logging.enable_progress_bar()


Parts = tuple[Backend, dict[str, str], list[str], str | None]


def tokenizer_parts(folder: Path) -> Parts:
    """Return the parts of a `Tokenizer` that transformers reads from a folder; raises ValueError or OSError."""
    with quiet_transformers() as transformers:
        return parts_of(
            transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        )


def parts_of(theirs: Any) -> Parts:
    """
    Return the same parts of a transformers tokenizer; raises ValueError if it does not use the tokenizers package.
    """
    backend = getattr(theirs, "backend_tokenizer", None)
    if backend is None:
        raise ValueError("its tokenizer is in no format that the tokenizers package can read")
    template = theirs.chat_template if isinstance(theirs.chat_template, str) else None
    return Backend.from_str(backend.to_str()), theirs.special_tokens_map, theirs.extra_special_tokens, template


def model_of(folder: Path, dtype: torch.dtype) -> Any:
    """
    Return the causal model in a folder, without its parts for images or sound.

    Raises ValueError, KeyError or OSError if it cannot be loaded.
    """
    with quiet_transformers() as transformers:
        if is_more_than_text(folder):
            model, report = _text_part(transformers, folder, dtype)
        else:
            model, report = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    if report["missing_keys"]:  # transformers would fill missing weights with random numbers
        raise ValueError(f"weights are missing: {', '.join(sorted(report['missing_keys'])[:3])}")
    return model.eval().requires_grad_(False)


def _text_part(transformers: Any, folder: Path, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    config = transformers.AutoConfig.for_model(**read_config(folder))
    with torch.device("meta"):
        kind = type(transformers.AutoModelForCausalLM.from_config(config))
    loaded: tuple[Any, dict[str, Any]] = kind.from_pretrained(
        None, config=config, state_dict=read_tensors(folder, dtype), dtype=dtype, output_loading_info=True
    )
    return loaded


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """Return all tensors of the model in a folder by name, in float32; tied tensors occur once."""
    model = model_of(folder, torch.float32)
    own = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    return {name: value for name, value in model.state_dict().items() if name in own}


def read_gguf(gguf_file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """
    Return the config and bfloat16 weights that transformers' own loader reads from a GGUF file.

    Raises FailedPrecondition if that needs another package, InvalidArgument for a file that it cannot convert.
    """
    try:
        # the last progress bar cannot be switched off
        with quiet_transformers() as transformers, redirect_stderr(io.StringIO()):
            model = transformers.AutoModelForCausalLM.from_pretrained(
                gguf_file.parent,
                gguf_file=gguf_file.name,
                dtype=torch.float32,
                quantization_config=transformers.GgufConfig(dequantize=True),
                local_files_only=True,
                trust_remote_code=False,
            )
    except ImportError as error:
        raise FailedPrecondition(f"{gguf_file.name} needs accelerate: pip install 'tunery[transformers]'") from error
    except (ValueError, NotImplementedError) as error:
        raise InvalidArgument(f"{gguf_file.name} cannot be converted: {error}") from error
    config = {**model.config.to_dict(), "architectures": [type(model).__name__]}
    config.pop("quantization_config", None)  # the weights are no longer quantized
    own = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}  # a tied head is listed once
    state = {name: value for name, value in model.state_dict().items() if name in own}
    return config, {name: value.bfloat16().contiguous() for name, value in state.items()}


def gguf_tokenizer_parts(gguf_file: Path) -> Parts:
    """Return the parts of a `Tokenizer` that transformers reads from a GGUF file."""
    with quiet_transformers() as transformers:
        theirs = transformers.PreTrainedTokenizerFast.from_pretrained(
            gguf_file.parent, gguf_file=gguf_file.name, local_files_only=True
        )
    return parts_of(theirs)


# Their kernels read the weight of `out_proj` directly, so an adapter on that module would be ignored; peft 0.21 refuses
# it
_BYPASSING_FAMILIES = frozenset({"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"})


class FallbackNetwork:
    """
    A causal model of transformers with slots for adapters, with the same interface as `network.Network`.

    `model` is changed in place: its linear layers get places for adapters. `reason` says why transformers computes it.
    """

    is_packed = False
    quantized_kinds: Sequence[str] = ()  # transformers gets plain weights
    weight_format = WeightFormat.FULL
    recomputes = False

    def __init__(self, model: Any, reason: str = "") -> None:
        self.reason = reason
        self.model = model.eval().requires_grad_(False)
        self.family = str(model.config.model_type)
        self.adapters: dict[int, Adapter] = {}
        skip = {"out_proj"} if self.family in _BYPASSING_FAMILIES else set()
        self._layers = _adapt(model, skip)

    @property
    def linears(self) -> Mapping[str, tuple[int, int]]:
        return {path: (layer.weight.shape[0], layer.weight.shape[1]) for path, layer in self._layers.items()}

    @property
    def is_transposed(self) -> bool:
        return any(layer.is_transposed for layer in self._layers.values())

    @property
    def dtype(self) -> torch.dtype:
        return next(iter(self._layers.values())).weight.dtype

    @property
    def device(self) -> torch.device:
        return next(iter(self._layers.values())).weight.device

    def fresh_adapter(self, rank: int, alpha: float, seed: int) -> Adapter:
        wide = torch.promote_types(self.dtype, torch.float32)
        return Adapter.fresh(shape_of(self.linears, rank, alpha, self.is_transposed), seed, wide).to(self.device)

    def install(self, slot: int, adapter: Adapter, grad: Tensor | None = None) -> None:
        """
        Put an adapter into a slot; with `grad` (flat, like the adapter) it can be tuned, and gradients are added to
        `grad`.
        """
        self.adapters[slot] = adapter
        for path, down, up in adapter.shape.pairs(adapter.flat):
            parts = (down, up) if grad is None else (nn.Parameter(down), nn.Parameter(up))
            self._layers[path].pairs[slot] = (*parts, adapter.shape.scale)
        for path, down, up in () if grad is None else adapter.shape.pairs(grad):
            self._layers[path].pairs[slot][0].grad, self._layers[path].pairs[slot][1].grad = down, up

    def remove(self, slot: int) -> None:
        self.adapters.pop(slot, None)
        for layer in self._layers.values():
            layer.pairs.pop(slot, None)

    def loss(self, rows: Sequence[EncodedExample]) -> float:
        """Return the sum of the cross-entropy over all answer tokens of the rows, in nats."""
        with torch.no_grad():
            return float(self._padded_loss(rows))

    def fit(self, lengths: Sequence[int], rows: int, adapter_bytes: int) -> int:
        """Return how many rows at a time to try; there is nothing to choose, see `network.Network.fit`."""
        del lengths, adapter_bytes
        return rows

    def add_gradient(self, rows: Sequence[EncodedExample], weight: float = 1.0) -> float:
        """Add the gradient of `weight` × loss to the tensor passed to `install`; return the loss like `loss`."""
        loss = self._padded_loss(rows)
        (loss * weight).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def add_label_gradient(
        self,
        rows: Sequence[EncodedExample],
        shares: Mapping[tuple[int, ...], float],
        plain_weight: float,
        label_weight: float,
    ) -> tuple[float, float]:
        """Add the gradient of two losses; see `network.Network.add_label_gradient`."""
        plain = labels = torch.zeros((), dtype=torch.float64, device=self.device)
        options, priors = list(shares), torch.tensor([*shares.values()], dtype=torch.float64, device=self.device).log()
        for row in rows:
            prompt = row.token_ids[: row.answer_offset]
            scores = -torch.stack(
                [self._padded_loss([EncodedExample((*prompt, *option), len(prompt))]) for option in options]
            )
            right = options.index(row.token_ids[row.answer_offset :])
            plain = plain - scores[right]
            labels = labels + nn.functional.cross_entropy(
                scores + priors, torch.tensor(right, device=self.device), label_smoothing=LABEL_SMOOTHING
            )
        (plain * plain_weight + labels * label_weight).backward()  # type: ignore[no-untyped-call]
        return float(plain.detach()), float(labels.detach())

    def next_logits(self, token_ids: Sequence[int], slot: int | None) -> Tensor:
        """Return the logits `[V]` for the token after a row, in float32 or wider."""
        return self._logits(token_ids, slot)[-1]

    def mean_states(self, rows: Sequence[EncodedExample], depth: float) -> Tensor:
        """Return means of the plain base's hidden states; see `network.Network.mean_states`."""
        found = []
        with _slot_used(self._layers.values(), None), torch.no_grad():
            for row in rows:
                token_ids = torch.tensor([row.token_ids], device=self.device)
                states = self.model(input_ids=token_ids, use_cache=False, output_hidden_states=True).hidden_states
                # before the first layer, and after each
                chosen = states[round(depth * (len(states) - 1))][0, row.answer_offset - 1 : len(row.token_ids) - 1]
                found.append(chosen.to("cpu", torch.float32).mean(0))
        return torch.stack(found)

    def option_scores(
        self, rows: Sequence[EncodedExample], options: Sequence[Sequence[int]], slot: int | None
    ) -> Tensor:
        """Return the log-likelihood `[rows, options]` of each option as the whole answer to the prompt of each row."""
        found = []
        for row in rows:
            prompt = row.token_ids[: row.answer_offset]
            for option in options:
                logits = self._logits((*prompt, *option), slot)[len(prompt) - 1 : -1].to("cpu", torch.float64)
                found.append(-nn.functional.cross_entropy(logits, torch.tensor(option), reduction="sum"))
        return torch.stack(found).view(len(rows), len(options))

    def _logits(self, token_ids: Sequence[int], slot: int | None) -> Tensor:
        with _slot_used(self._layers.values(), slot), torch.no_grad():
            row = torch.tensor([list(token_ids)], device=self.device)
            logits = self.model(input_ids=row, use_cache=False).logits[0]
        return logits.to(torch.promote_types(logits.dtype, torch.float32))  # type: ignore[no-any-return]

    def _padded_loss(self, rows: Sequence[EncodedExample]) -> Tensor:
        tokens = [torch.tensor(row.token_ids) for row in rows]
        token_ids = pad_sequence(tokens, batch_first=True).to(self.device)
        mask = pad_sequence([torch.ones_like(row) for row in tokens], batch_first=True).to(self.device)
        logits = self.model(input_ids=token_ids, attention_mask=mask, use_cache=False).logits
        wide = torch.promote_types(logits.dtype, torch.float32)
        total = torch.zeros((), dtype=torch.float64, device=logits.device)
        for row, row_logits in zip(rows, logits, strict=True):
            chosen = row_logits[row.answer_offset - 1 : len(row.token_ids) - 1].to(wide)
            targets = torch.tensor(row.token_ids[row.answer_offset :], device=logits.device)
            total = total + nn.functional.cross_entropy(chosen, targets, reduction="sum")
        return total


class _LoraLinear(nn.Module):
    """
    A frozen linear layer, weight `[out, in]`, with a pair for each slot; the pair of the current `slot` is applied.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, is_transposed: bool) -> None:
        super().__init__()
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach()
        self.is_transposed = is_transposed
        self.pairs: dict[int, tuple[Tensor, Tensor, float]] = {}
        self.slot: int | None = 0

    weight: Tensor

    def forward(self, x: Tensor) -> Tensor:
        output = nn.functional.linear(x, self.weight, self.bias)
        if self.slot is None or self.slot not in self.pairs:
            return output
        down, up, scale = self.pairs[self.slot]
        narrow = nn.functional.linear(x, down.to(x.dtype))
        return output + nn.functional.linear(narrow, up.to(x.dtype)) * scale


def _adapt(model: nn.Module, skip: set[str]) -> dict[str, _LoraLinear]:
    """
    Replace every linear layer in place, except the head and those named in `skip`; return the new ones by module path.
    """
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()  # type: ignore[operator]
    layers: dict[str, _LoraLinear] = {}
    for path, module in list(model.named_modules()):
        parent, _, name = path.rpartition(".")
        if module is head or name in skip or not isinstance(module, nn.Linear | Conv1D):
            continue
        is_transposed = isinstance(module, Conv1D)  # GPT-2's layer counts as linear
        weight = module.weight.t() if is_transposed else module.weight
        layers[path] = _LoraLinear(weight, module.bias, is_transposed)
        setattr(model.get_submodule(parent), name, layers[path])
    return layers


@contextmanager
def _slot_used(layers: Iterable[_LoraLinear], slot: int | None) -> Iterator[None]:
    every = list(layers)
    for layer in every:
        layer.slot = slot
    try:
        yield
    finally:
        for layer in every:
            layer.slot = 0
