"""Settings: how a configuration is composed, and what values its keys can take. Imports nothing heavy."""
