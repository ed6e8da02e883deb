import json
import tempfile
import unittest
from pathlib import Path

from weather import Conf, load_conf
from weather.report import report


class WeatherTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "conf.json"

    def write(self, **values):
        self.path.write_text(json.dumps(values), encoding="utf-8")

    def test_defaults(self):
        self.write(station="Oslo")
        self.assertEqual(load_conf(self.path), Conf("Oslo", "celsius", 1))

    def test_unknown_settings_are_refused(self):
        self.write(station="Oslo", colour="blue")
        with self.assertRaisesRegex(ValueError, "colour"):
            load_conf(self.path)

    def test_report_in_fahrenheit(self):
        self.write(station="Oslo", unit="fahrenheit", decimals=0)
        self.assertEqual(report(self.path, [9.0, 11.0]), "Oslo: 50 degrees fahrenheit")

    def test_report_in_celsius(self):
        self.write(station="Oslo")
        self.assertEqual(report(self.path, [9.0, 11.0]), "Oslo: 10.0 degrees celsius")


if __name__ == "__main__":
    unittest.main()
