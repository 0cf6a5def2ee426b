"""A release from wave to wave over many sites: moves the tags that agents follow, listens to them, stops by itself.

========= ==========================================================================================================
module    responsibility
========= ==========================================================================================================
plan      which sites are in which wave, and what each may take; from a file
verdict   whether a wave is through, from what its agents say; pure
fleet     what the agents say, over MQTT
tags      where a wave's tag points, and pointing it elsewhere
rollout   wave after wave; what was there before is written down first
========= ==========================================================================================================

It decides nothing for a device: what an agent takes has to be signed, whoever moves tags. A wave that is stopped has
its tag put back, so that a site that has not looked yet never sees the release; a site that took it has already gone
back by itself, or keeps it because it is well there.
"""
