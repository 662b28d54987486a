"""Furnished rooms: layout, meshes, textures, light, and the rendering of views."""
