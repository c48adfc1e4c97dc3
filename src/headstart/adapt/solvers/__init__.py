"""Closed-form and convex solvers for heads over fixed features: pure functions over arrays."""
