"""Who takes part. Each is real: a process of its own on a loopback port, started here and ended by its id.

`base` has what they share; the others are one file each.
"""

from bench.peers import naive, nginx, portal, rclone, seal
from bench.peers.base import Peer

PEERS: dict[str, Peer] = {peer.name: peer for peer in (portal.PEER, nginx.PEER, rclone.PEER, naive.PEER, seal.PEER)}
