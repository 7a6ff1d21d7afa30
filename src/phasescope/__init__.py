"""Phasescope: a laboratory for the science of deep learning.

A study asks a paper's question. A task is what is learnt, a learner is who learns it, an ensemble trains a whole grid of
them in one run. Instruments read what each one learnt, theory says what to expect, a claim becomes a verdict, the store
keeps it, the report tells it.
"""
