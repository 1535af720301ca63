"""Displays of forests, after the manner of scikit-learn, a file each; :mod:`imondrian.plot` is their door."""
