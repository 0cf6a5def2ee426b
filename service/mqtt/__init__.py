"""The broker: the only package that imports the MQTT client.

=========  ==========================================================================================
module     does
=========  ==========================================================================================
link       the connection kept up by one thread: sessions, subscriptions, what callers publish
client     the client underneath, with a short way for messages in and acknowledgements out
=========  ==========================================================================================
"""

from service.mqtt.link import Link

__all__ = ["Link"]
