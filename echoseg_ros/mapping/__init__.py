"""The 3D Gaussian map: parameters, rasterizers, optimisation, keyframes."""
