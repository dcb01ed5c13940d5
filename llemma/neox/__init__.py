"""GPT-NeoX's configuration, typed: the only part of the library that knows NeoX's keys and units."""
