"""The configuration file: TOML → frozen models, with every mistake collected and explained before anything starts."""
