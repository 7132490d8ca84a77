"""Jobs on a Ray cluster: the server's side (`executor`, `link`), the gateway process, the seats on the nodes.

Only the gateway and the seats import Ray; the server never does.
"""
