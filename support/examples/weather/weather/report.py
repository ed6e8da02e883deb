"""Turns readings into a line of text."""

from statistics import mean

from weather import settings


def report(conf_path, readings):
    """One line with the mean of the readings, in degrees Celsius, in the unit that the settings ask for."""
    conf = settings.load_conf(conf_path)
    value = mean(readings)
    if conf.unit == "fahrenheit":
        value = value * 9 / 5 + 32
    return f"{conf.station}: {value:.{conf.decimals}f} degrees {conf.unit}"
