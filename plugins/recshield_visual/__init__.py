"""Visual recommenders and the image extractors behind them."""
