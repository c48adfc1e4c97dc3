"""Regularised linear models for many folds at once, along a path of strengths.

Minimises, for every problem p (a fold, or all the data),

    sum_n w[n, p] * loss(z[n] @ W[p], y[n]) + strength / 2 * ||W[p] without intercept||^2

with w summing to one over the examples of the problem: strength = 1 / (n C) in scikit-learn's
terms. The method is L-BFGS (Nocedal & Wright, algorithm 7.4), preconditioned by the diagonal
bound on the Hessian (Böhning, 1992) in the rotated basis. Each strength starts where the line
through the last two solutions points. Because outputs are linear in the weights, neither that
nor a line search needs a product with the design matrix: an iteration costs two such products
for all folds together.

Dimensions: K outputs, P problems, N examples, R columns of the design (intercept last).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headstart.adapt.solvers.design import Design
from headstart.adapt.solvers.links import Link

MEMORY = 8  # curvature pairs that L-BFGS keeps
ARMIJO = 1e-4
FARTHEST = 1.5  # times the last stride along log strength: no extrapolation beyond


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """Weights, and what the data say of them: outputs, loss and gradient without the penalty."""

    solution: Tensor  # (K, P, R)
    outputs: Tensor  # (K, P, N)
    loss: Tensor  # (P,)
    pull: Tensor  # (K, P, R)

    def objective(self, decay: Float[Tensor, " R"]) -> Float[Tensor, " P"]:
        return self.loss + (decay * self.solution.square()).sum(dim=(0, 2)) / 2

    def gradient(self, decay: Float[Tensor, " R"]) -> Float[Tensor, "K P R"]:
        return torch.addcmul(self.pull, decay, self.solution)


@dataclass(slots=True)
class Path:
    """Solutions of P problems, moved along the strengths from strong to weak.

    `truth` (N, K); `weights` (N, P) says how much each example counts in each problem, and its
    columns sum to one. `start` (R, K): weights that all problems begin with; None for zero.
    """

    design: Design
    truth: Tensor
    weights: Tensor
    link: Link
    start: Tensor | None = None
    strength: float = field(default=0.0, init=False)
    _at: Point = field(init=False)
    _before: tuple[float, Point] | None = field(default=None, init=False)
    _steps: list[Tensor] = field(default_factory=list, init=False)
    _turns: list[Tensor] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        moments = self.design.moments
        self.truth = self.truth.to(moments).T.contiguous()[:, None]  # (K, 1, N)
        self.weights = self.weights.to(moments).T.contiguous()  # (P, N)
        problems, count = self.weights.shape
        solution = moments.new_zeros(len(self.truth), problems, len(moments))
        outputs = moments.new_zeros(len(self.truth), problems, count)
        if self.start is not None:
            solution += self.start.T[:, None]
            outputs = self.design.outputs(solution)
        self._at = self._point(solution, outputs)

    @property
    def solution(self) -> Float[Tensor, "R P K"]:
        return self._at.solution.permute(2, 1, 0)

    @property
    def outputs(self) -> Float[Tensor, "N P K"]:
        return self._at.outputs.permute(2, 1, 0)

    def solve(self, strength: float, *, tolerance: float, most: int) -> int:
        """Move to the solution at `strength`; returns the iterations that it took.

        Stops where the preconditioned gradient says that at most `tolerance` of the objective
        (in the loss's unit) is left, or after `most` iterations.
        """
        decay = self._decay(strength)
        change = decay - self._decay(self.strength)
        for step, turn in zip(self._steps, self._turns, strict=True):
            turn.add_(change * step)  # the penalty's share of the curvature is known exactly
        scale = 1.0 / (self.link.bound * self.design.moments + decay)
        came_from, self._at = self._at, self._foreseen(strength, decay)
        taken = most
        for iteration in range(most):
            direction, slope = self._direction(self._at.gradient(decay), scale)
            if float(-slope.min()) / 2 < tolerance:
                taken = iteration
                break
            self._step(direction, slope, decay)
        self._before = (self.strength, came_from) if self.strength else None
        self.strength = strength
        return taken

    def _decay(self, strength: float) -> Float[Tensor, " R"]:
        decay = torch.full_like(self.design.moments, strength)
        decay[-1] = 1e-9 if strength else 0.0  # the intercept is free
        return decay

    def _point(self, solution: Tensor, outputs: Tensor) -> Point:
        losses, residual = self.link.both(outputs, self.truth)
        return self._with_pull(solution, outputs, (losses * self.weights).sum(dim=1), residual)

    def _with_pull(
        self, solution: Tensor, outputs: Tensor, loss: Tensor, residual: Tensor
    ) -> Point:
        pull = self.design.pull(residual.mul_(self.weights))
        return Point(solution, outputs, loss, pull)

    def _foreseen(self, strength: float, decay: Float[Tensor, " R"]) -> Point:
        """Return the point that the last two solutions point to, where it is the better start."""
        if self._before is None or strength == self.strength:
            return self._at
        behind, before = self._before
        stride = log(behind / self.strength) if behind != self.strength else 0.0
        ahead = log(self.strength / strength) / stride if stride else 0.0
        if not 0.0 < ahead <= FARTHEST:
            return self._at
        here = self._at
        solution = torch.lerp(before.solution, here.solution, 1.0 + ahead)
        outputs = torch.lerp(before.outputs, here.outputs, 1.0 + ahead)
        there = self._point(solution, outputs)
        if not bool((there.objective(decay) <= here.objective(decay)).all()):
            return here
        self._remember(here, there, decay)
        return there

    def _step(
        self, direction: Float[Tensor, "K P R"], slope: Float[Tensor, " P"],
        decay: Float[Tensor, " R"],
    ) -> None:  # fmt: skip
        """Backtrack to a decrease in every problem."""
        here = self._at
        objective = here.objective(decay)
        ahead = self.design.outputs(direction)
        length = torch.ones_like(objective)
        noise = 1e-6 * objective.abs()  # float32: below this no decrease can be seen
        for _ in range(12):
            outputs = here.outputs + length[:, None] * ahead
            solution = here.solution + length[:, None] * direction
            losses, residual = self.link.both(outputs, self.truth)
            loss = (losses * self.weights).sum(dim=1)
            reached = loss + (decay * solution.square()).sum(dim=(0, 2)) / 2
            good = reached <= objective + ARMIJO * length * slope + noise
            if bool(good.all()):
                break
            length = torch.where(good, length, length / 2)
        self._at = self._with_pull(solution, outputs, loss, residual)
        self._remember(here, self._at, decay)

    def _remember(self, here: Point, there: Point, decay: Float[Tensor, " R"]) -> None:
        step = there.solution - here.solution
        self._steps.append(step)
        self._turns.append(torch.addcmul(there.pull - here.pull, decay, step))
        if len(self._steps) > MEMORY:
            del self._steps[0], self._turns[0]

    def _direction(
        self, gradient: Float[Tensor, "K P R"], scale: Float[Tensor, " R"]
    ) -> tuple[Float[Tensor, "K P R"], Float[Tensor, " P"]]:
        """Return where to go, and the slope (P,) of the objective that way."""
        direction = self._two_loops(gradient, scale)
        slope = _dot(gradient, direction)
        if bool((slope > 0).any()):  # spent curvature: restart from the preconditioner
            self._steps.clear()
            self._turns.clear()
            direction = -scale * gradient
            slope = _dot(gradient, direction)
        return direction, slope

    def _two_loops(
        self, gradient: Float[Tensor, "K P R"], scale: Float[Tensor, " R"]
    ) -> Float[Tensor, "K P R"]:
        q = gradient.clone()
        alphas: list[tuple[Tensor, Tensor]] = []
        for step, turn in zip(reversed(self._steps), reversed(self._turns), strict=True):
            curvature = _dot(step, turn)
            rho = torch.where(curvature > 1e-12, 1.0 / curvature, 0.0)
            alpha = rho * _dot(step, q)
            q.addcmul_(alpha[:, None], turn, value=-1.0)
            alphas.append((rho, alpha))
        r = scale * q
        if self._steps:
            step, turn = self._steps[-1], self._turns[-1]
            fitted = _dot(step, turn) / _dot(turn, scale * turn).clamp_min(1e-30)
            r *= fitted.clamp(1e-3, 1e3)[:, None]
        for (step, turn), (rho, alpha) in zip(
            zip(self._steps, self._turns, strict=True), reversed(alphas), strict=True
        ):
            beta = rho * _dot(turn, r)
            r.addcmul_((alpha - beta)[:, None], step)
        return r.neg_()


def _dot(one: Float[Tensor, "K P R"], other: Float[Tensor, "K P R"]) -> Float[Tensor, " P"]:
    """Inner product a problem: (K, P, R), (K, P, R) -> (P,)."""
    return (one * other).sum(dim=(0, 2))


def even_weights(inside: Bool[Tensor, "N P"]) -> Float[Tensor, "N P"]:
    """Turn (N, P) membership of problems into weights whose columns sum to one.

    A problem without examples stays at zero.
    """
    return inside.float() / inside.float().sum(dim=0).clamp_min(1.0)


def held_out(outputs: Float[Tensor, "N P K"], folds: Int[Tensor, " N"]) -> Float[Tensor, "N K"]:
    """Pick from (N, P, K) outputs the (N, K) of the problem that did not train on the example."""
    return outputs[torch.arange(len(folds), device=outputs.device), folds.to(outputs.device)]
