"""The controller: launches an agent, follows its events, and says how it ended."""
