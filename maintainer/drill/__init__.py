"""Rehearsals: what an attacker with a host's keys can do, done to a copy that nobody needs."""
