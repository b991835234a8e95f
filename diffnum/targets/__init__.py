"""Data distributions whose denoiser, score, density and probability-flow map are exact."""
