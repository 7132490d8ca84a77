"""A server's verbs as tools for agents, by the Model Context Protocol. A client of HTTP like any other."""
