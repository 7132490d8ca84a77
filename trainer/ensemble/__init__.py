"""Ensembles: one model made of several finished ones, chosen and weighted. A job of the built-in trainer."""
