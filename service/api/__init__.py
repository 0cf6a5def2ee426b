"""HTTP: what people and programs ask the edge. It never waits for the worker.

========== ==========================================================================
module     responsibility
========== ==========================================================================
documents  the shapes of the answers
routes     health, motors, alerts, metrics, the page
model      the bundle that runs, what was offered, going back to one that ran before
past       history, last windows, alerts and notes, money: what the historian holds
reports    pages for the shift book
repository bundles: which there are, try one, call one off (Open Inference Protocol)
access     who may change something
answers    answers in one form
stream     server-sent events: the live picture, bounded per reader
shield     security headers and size limits around everything
server     uvicorn inside our process, without its signal handling
========== ==========================================================================
"""

from service.api.routes import create

__all__ = ["create"]
