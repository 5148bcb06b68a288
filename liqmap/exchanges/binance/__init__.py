"""Binance: the formats of its files, REST answers and streams."""
