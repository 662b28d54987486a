"""The 3D Gaussian map: keyframes, insertion, optimisation and rendering of Gaussians."""
