# The containers, for real. Included by the Makefile.

.PHONY: images
images: ## builds the images edge and simulator; needs a container engine
	@deploy/images --auto

.PHONY: e2e
e2e: .venv/.stamp ## images, compose, broker, browser: everything in containers, on an engine of its own where none runs
	@deploy/engine start
	trap 'deploy/engine stop' EXIT
	timeout 900 deploy/images --auto edge simulator
	E2E=1 timeout 600 $(FULL) -m pytest tests/containers $(ARGS)
