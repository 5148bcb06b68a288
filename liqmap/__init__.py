"""Liquidation maps of crypto futures from actual trades: download, filter, compute, render."""

__version__ = "0.1.0"
