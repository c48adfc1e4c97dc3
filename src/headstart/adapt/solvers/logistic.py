"""Regularised logistic models for many folds at once, along a path of strengths.

Minimises, for every problem p (a fold, or all the data),

    sum_n w[n, p] * loss(z[n] @ W[p], y[n]) + strength / 2 * ||W[p] without intercept||^2

with w summing to one over the examples of the problem: strength = 1 / (n C) in scikit-learn's
terms. The method is L-BFGS (Nocedal & Wright, algorithm 7.4), preconditioned by the diagonal
bound on the Hessian (Böhning, 1992) in the rotated basis, and warm-started from the next
stronger strength. Because outputs are linear in the weights, a line search needs no product with
the design matrix: an iteration costs two such products for all folds together.

Dimensions: N examples, R columns of the design (intercept last), P problems, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headstart.adapt.solvers.design import Design

MEMORY = 8  # curvature pairs that L-BFGS keeps
ARMIJO = 1e-4


@dataclass(frozen=True, slots=True)
class Link:
    """A loss over raw outputs. `bound`: the largest eigenvalue of its Hessian in the outputs."""

    name: str
    bound: float
    loss: Callable[[Tensor, Tensor], Tensor]  # (N, P, K), (N, 1, K) -> (N, P)
    residual: Callable[[Tensor, Tensor], Tensor]  # d loss / d outputs, (N, P, K)


SOFTMAX = Link(
    "softmax",
    0.5,
    loss=lambda outputs, truth: outputs.logsumexp(dim=2) - (outputs * truth).sum(dim=2),
    residual=lambda outputs, truth: outputs.softmax(dim=2) - truth,
)
SIGMOID = Link(
    "sigmoid",
    0.25,
    loss=lambda outputs, truth: (torch.nn.functional.softplus(outputs) - outputs * truth).sum(
        dim=2
    ),
    residual=lambda outputs, truth: outputs.sigmoid() - truth,
)


@dataclass(slots=True)
class Path:
    """Solutions of P problems, moved along the strengths from strong to weak.

    `weights` (N, P) says how much each example counts in each problem; columns sum to one.
    """

    design: Design
    truth: Tensor  # (N, K) of 0 and 1
    weights: Tensor  # (N, P)
    link: Link
    solution: Tensor = field(init=False)  # (R, P, K)
    outputs: Tensor = field(init=False)  # (N, P, K)
    strength: float = field(default=0.0, init=False)
    _steps: list[Tensor] = field(default_factory=list, init=False)
    _turns: list[Tensor] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        count, problems = self.weights.shape
        kinds = self.truth.shape[1]
        columns = self.design.forward.shape[1]
        self.solution = self.weights.new_zeros(columns, problems, kinds)
        self.outputs = self.weights.new_zeros(count, problems, kinds)

    def solve(self, strength: float, *, tolerance: float, most: int) -> int:
        """Move to the solution at `strength`; returns the iterations that it took.

        Stops where the preconditioned gradient says that at most `tolerance` (nats per example)
        of the objective is left, or after `most` iterations.
        """
        decay = self._decay(strength)
        change = decay - self._decay(self.strength)
        for step, turn in zip(self._steps, self._turns, strict=True):
            turn.add_(change * step)  # the penalty's share of the curvature is known exactly
        self.strength = strength
        scale = 1.0 / (self.link.bound * self.design.moments[:, None, None] + decay)
        objective, gradient = self._evaluate(decay)
        for iteration in range(most):
            direction = self._direction(gradient, scale)
            slope = _dot(gradient, direction)
            uphill = slope > 0  # numerically spent curvature: restart from the preconditioner
            if bool(uphill.any()):
                self._steps.clear()
                self._turns.clear()
                direction = -scale * gradient
                slope = _dot(gradient, direction)
            if float(-slope.min()) / 2 < tolerance:
                return iteration
            objective, new = self._step(objective, direction, slope, decay)
            self._remember(new[0], new[1] - gradient)
            gradient = new[1]
        return most

    def _decay(self, strength: float) -> Float[Tensor, "R 1 1"]:
        decay = self.design.moments.new_full((self.solution.shape[0], 1, 1), strength)
        decay[-1] = 1e-9 if strength else 0.0  # the intercept is free
        return decay

    def _objective(
        self,
        outputs: Float[Tensor, "N P K"],
        solution: Float[Tensor, "R P K"],
        decay: Float[Tensor, "R 1 1"],
    ) -> Float[Tensor, " P"]:
        losses = self.link.loss(outputs, self.truth[:, None, :])
        penalty = (decay * solution.square()).sum(dim=(0, 2)) / 2
        return (losses * self.weights).sum(dim=0) + penalty

    def _evaluate(self, decay: Tensor) -> tuple[Tensor, Tensor]:
        objective = self._objective(self.outputs, self.solution, decay)
        return objective, self._gradient(decay)

    def _gradient(self, decay: Float[Tensor, "R 1 1"]) -> Float[Tensor, "R P K"]:
        residual = self.link.residual(self.outputs, self.truth[:, None, :])
        residual = residual * self.weights[:, :, None]
        flat = self.design.adjoint @ residual.reshape(len(residual), -1)
        return flat.reshape(self.solution.shape) + decay * self.solution

    def _step(
        self, objective: Tensor, direction: Tensor, slope: Tensor, decay: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Backtrack to a decrease in every problem; returns (objective, (step, gradient))."""
        ahead = self.design.forward @ direction.reshape(len(direction), -1)
        ahead = ahead.reshape(self.outputs.shape)
        length = torch.ones_like(objective)
        noise = 1e-6 * objective.abs()  # float32: below this no decrease can be seen
        for _ in range(12):
            outputs = self.outputs + length[None, :, None] * ahead
            solution = self.solution + length[None, :, None] * direction
            reached = self._objective(outputs, solution, decay)
            good = reached <= objective + ARMIJO * length * slope + noise
            if bool(good.all()):
                break
            length = torch.where(good, length, length / 2)
        self.outputs, self.solution = outputs, solution
        return reached, (length[None, :, None] * direction, self._gradient(decay))

    def _remember(self, step: Tensor, turn: Tensor) -> None:
        self._steps.append(step)
        self._turns.append(turn)
        if len(self._steps) > MEMORY:
            del self._steps[0], self._turns[0]

    def _direction(
        self, gradient: Float[Tensor, "R P K"], scale: Float[Tensor, "R 1 1"]
    ) -> Float[Tensor, "R P K"]:
        q = gradient.clone()
        alphas: list[tuple[Tensor, Tensor]] = []
        for step, turn in zip(reversed(self._steps), reversed(self._turns), strict=True):
            curvature = _dot(step, turn)
            rho = torch.where(curvature > 1e-12, 1.0 / curvature, 0.0)
            alpha = rho * _dot(step, q)
            q -= alpha[None, :, None] * turn
            alphas.append((rho, alpha))
        r = scale * q
        if self._steps:
            step, turn = self._steps[-1], self._turns[-1]
            fitted = _dot(step, turn) / _dot(turn, scale * turn).clamp_min(1e-30)
            r *= fitted.clamp(1e-3, 1e3)[None, :, None]
        for (step, turn), (rho, alpha) in zip(
            zip(self._steps, self._turns, strict=True), reversed(alphas), strict=True
        ):
            beta = rho * _dot(turn, r)
            r += (alpha - beta)[None, :, None] * step
        return -r


def _dot(one: Float[Tensor, "R P K"], other: Float[Tensor, "R P K"]) -> Float[Tensor, " P"]:
    """Inner product a problem: (R, P, K), (R, P, K) -> (P,)."""
    return torch.einsum("rpk,rpk->p", one, other)


def even_weights(inside: Bool[Tensor, "N P"]) -> Float[Tensor, "N P"]:
    """Turn (N, P) membership of problems into weights whose columns sum to one.

    A problem without examples stays at zero.
    """
    return inside.float() / inside.float().sum(dim=0).clamp_min(1.0)


def held_out(outputs: Float[Tensor, "N P K"], folds: Int[Tensor, " N"]) -> Float[Tensor, "N K"]:
    """Pick from (N, P, K) outputs the (N, K) of the problem that did not train on the example."""
    return outputs[torch.arange(len(folds), device=outputs.device), folds.to(outputs.device)]
