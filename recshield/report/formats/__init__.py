"""The formats that recshield brings, each a plugin like a third party's."""
