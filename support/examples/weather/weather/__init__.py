"""Reports the readings of a weather station."""

from weather.settings import Conf, load_conf

__all__ = ["Conf", "load_conf"]
