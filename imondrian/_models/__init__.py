"""The two models, of tables and of streams, without scikit-learn and river. Imports ``_persist`` and below."""
