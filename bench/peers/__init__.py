"""Who takes part. Each is real: a process of its own on a loopback port, started here and ended by its id.

`base` has what they share; the others are one file each.
"""

from bench.peers import copyparty, naive, nginx, portal, rclone, seal, seaweedfs
from bench.peers.base import Peer

_ALL = (portal.PEER, nginx.PEER, copyparty.PEER, rclone.PEER, seaweedfs.PEER, naive.PEER, seal.PEER)
PEERS: dict[str, Peer] = {peer.name: peer for peer in _ALL}
