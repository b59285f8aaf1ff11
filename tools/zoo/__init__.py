"""Classifiers of other packages, and a judgement of effcam's maps that uses none of its rules."""
