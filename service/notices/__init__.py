"""Alerts on their way to people: webhooks and e-mail, each route with a queue and a thread of its own.

========== ==========================================================================
module     responsibility
========== ==========================================================================
options    the settings of a route
notice     one alert message as it is told, and who wants to hear it
wording    the sentences
formats    the JSON that Slack, Teams, Alertmanager and others read
signature  who sent it: HMAC as in the Standard Webhooks specification
webhook    one HTTP request
mail       one message over SMTP
queue      what waits, on the disk, bounded
route      a thread: queue, send, try again
routes     all of them; what the worker hands alerts to
========== ==========================================================================

Nothing here is ever waited for by the worker. Addresses come from the settings alone, never from a message, and no
redirection is followed.
"""
