"""
Examines a dataset: duplicates and near duplicates, also of held-out rows, contradictions, variants of labels, cut rows,
and rows whose output a model does not believe.

Token counts and losses are brought by the caller, since they need a base. Knows examples; no files, no tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from math import exp, inf
from statistics import median

from tunery.engine.data.surgery.findings import Finding, Kind
from tunery.engine.data.surgery.labels import are_labels, label_variants
from tunery.engine.data.surgery.likeness import alike
from tunery.types import TuningExample

DOUBTED_LABEL_LOSS = 3.0  # a chance of 5 %
_SPREADS = 6.0  # of the middle deviation: one row in 20,000 of a normal curve
_LEAST_SPREAD = 0.5  # nats; where all rows are learned alike, small differences mean nothing


def examine(
    examples: Sequence[TuningExample],
    *,
    held_out: Sequence[TuningExample] = (),
    token_counts: Sequence[int] = (),
    window_tokens: int | None = None,
    losses: Sequence[float] = (),
    learned: Collection[TuningExample] = (),
) -> list[Finding]:
    """
    Return what is doubtful, in the order of the rows.

    `held_out` are rows that the examples shall not give away. `token_counts` and `losses` belong to the examples:
    prompt and answer, and the loss in nats of the whole output under a model that was tuned without the row, or on it
    if it is one of the `learned`.
    """
    found = [
        *_copies(examples),
        *_held_out_copies(examples, held_out),
        *_variants(examples),
        *_cut(token_counts, window_tokens),
        *mislabelled(examples, losses, learned),
    ]
    return sorted(found, key=lambda finding: finding.place)


def mislabelled(
    examples: Sequence[TuningExample], losses: Sequence[float], learned: Collection[TuningExample] = ()
) -> Iterator[Finding]:
    """
    Yield rows whose output is very unlikely for a model that was tuned without them, the least likely first.

    Of rows that it has `learned` it is said that it still gets them wrong.
    """
    limit, own = doubted_loss(examples, losses), frozenset(learned)
    for place in sorted(range(len(losses)), key=lambda place: -losses[place]):
        if losses[place] < limit:
            return
        output, chance = _short(examples[place].output), exp(-losses[place])
        kind, model = Kind.MISLABELLED, "a model tuned without this row gives"
        if examples[place] in own:
            kind, model = Kind.STILL_WRONG, "tuned on this row, the model still gives"
        message = f"{model} {output} a chance of {chance:.2%}; is it right?"
        yield Finding(kind, place, message, score=losses[place])


def doubted_loss(examples: Sequence[TuningExample], losses: Sequence[float]) -> float:
    """
    Return the loss from which an output is doubted.

    For labels it is a chance below five percent (9 of 10 wrong labels found, see docs/experiments.md); other
    outputs must stand out from the rest.
    """
    if not losses:
        return inf
    middle = median(losses)
    spread = median(abs(loss - middle) for loss in losses)
    stands_out = middle + _SPREADS * max(spread, _LEAST_SPREAD)
    return max(DOUBTED_LABEL_LOSS, middle) if are_labels([e.output for e in examples]) else stands_out


def _copies(examples: Sequence[TuningExample]) -> Iterator[Finding]:
    for place, other, likeness in alike([example.text_input for example in examples]):
        same_input = examples[place].text_input.strip() == examples[other].text_input.strip()
        how = "the same" if same_input else f"nearly the same ({likeness:.0%})"
        if examples[place].output.strip() != examples[other].output.strip():
            message = f"{how} input as another row, but {_short(examples[place].output)} instead of "
            yield Finding(
                Kind.CONTRADICTION, place, message + _short(examples[other].output) + ".", other, score=likeness
            )
        elif same_input:
            yield Finding(Kind.DUPLICATE, place, "the same as another row.", other, drops=True, score=1.0)
        else:
            yield Finding(Kind.NEAR_DUPLICATE, place, f"{how} as another row.", other, drops=True, score=likeness)


def _held_out_copies(examples: Sequence[TuningExample], held_out: Sequence[TuningExample]) -> Iterator[Finding]:
    """Yield examples that are nearly a held-out row: measured on it, a model would look better than it is."""
    texts = [example.text_input for example in held_out]
    start = len(texts)
    both = [*texts, *(example.text_input for example in examples)]
    for place, other, likeness in alike(both, among=start) if texts else ():
        if place >= start:
            message = f"nearly the same ({likeness:.0%}) input as a held-out row, which then proves little."
            yield Finding(Kind.HELD_OUT_COPY, place - start, message, drops=True, score=likeness, held_out_place=other)


def _variants(examples: Sequence[TuningExample]) -> Iterator[Finding]:
    meant = label_variants([example.output for example in examples])
    for place, example in enumerate(examples):
        label = example.output.strip()
        if label in meant:
            message = f"{_short(label)} is probably {_short(meant[label])} in another spelling."
            yield Finding(Kind.LABEL_VARIANT, place, message, new_output=meant[label])


def _cut(token_counts: Sequence[int], window_tokens: int | None) -> Iterator[Finding]:
    for place, tokens in enumerate(token_counts):
        if window_tokens is not None and tokens > window_tokens:
            message = f"{tokens:,} tokens, the base reads {window_tokens:,}; the end of the input is cut off."
            yield Finding(Kind.CUT_ROW, place, message)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 40 else line[:37] + "...")
