"""Evaluation of classifiers: mAP, accuracy and their intervals."""
