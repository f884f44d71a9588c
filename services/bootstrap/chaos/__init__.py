"""`erx chaos`: load on the real stack while its processes and stores are killed, frozen, cut off and slowed at random."""
