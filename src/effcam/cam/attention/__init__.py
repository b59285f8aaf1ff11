"""Methods that read attention: LeGrad, attention rollout, gradient-weighted rollout."""
