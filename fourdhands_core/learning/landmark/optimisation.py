"""The optimiser's steps of one phase of training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import torch


def optimise(
    network: torch.nn.Module,
    average: torch.nn.Module,
    loss_of: Callable[[int], torch.Tensor],
    steps: Collection[int],
    rate: float,
    weight_decay: float,
    kept: float,
) -> Iterator[tuple[int, torch.Tensor]]:
    """One phase: AdamW, linear warm-up over 5 % of the steps, linear decay, gradients clipped to norm 1. Gives (step, loss).

    average: takes the exponential moving average of the weights, of which `kept` stays at each step at most.
    """
    parameters, count = list(network.parameters()), len(steps)
    optimizer = torch.optim.AdamW(parameters, rate, weight_decay=weight_decay, betas=(0.9, 0.98))
    warm = max(1, count // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min((k + 1) / warm, (count - k) / max(1, count - warm)))
    for step in steps:
        loss = loss_of(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            averages: list[torch.Tensor] = list(average.parameters())
            torch._foreach_lerp_(averages, list[torch.Tensor](parameters), 1.0 - min(kept, (step + 1) / (step + 10)))
        yield step, loss
