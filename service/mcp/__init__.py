"""A server's calls as tools for agents, by the Model Context Protocol. Uses the HTTP client."""
