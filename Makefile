# One command a purpose. `make test` is what has to pass; it installs what is missing first.
.PHONY: test setup lint imports words unit ed25519-verdicts ed25519-backends clients openapi upgrade e2e package-test screenshots deny advisories bench compare graceful-stop overload

# The modules of the server's tests that run once more on PostgreSQL. `model`, `proxies` and `serve` ask the store little.
ON_POSTGRES = api:: cluster:: threats:: ui::

# One build profile for all tests, including the server that they start.
CARGO ?= cargo

test: setup lint deny unit clients openapi upgrade package-test e2e

setup:
	./scripts/setup

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	./scripts/workspace-hack --check
	./scripts/imports
	./scripts/words

# Checks that there are no circles between modules, no imports from a lower to an upper layer, and no crate that uses what it may
# not.
imports:
	./scripts/imports

# Fails on words that docs/glossary.md lists as not used.
words:
	./scripts/words

deny:
	./scripts/vendored --check
	.tools/bin/cargo-deny --log-level error check bans licenses sources
	./scripts/advisories --if-there

# Fails unless Cargo.lock was compared with a database of security advisories of the last 30 days.
advisories:
	./scripts/advisories

unit:
	$(CARGO) test --workspace --locked
	KEYWARD_TEST_ENGINE=postgres $(CARGO) test --package server --test all --locked -- $(ON_POSTGRES)

# Compares the verdicts on ten million crafted Ed25519 signatures with the library's. Takes half an hour.
ed25519-verdicts:
	$(CARGO) test --package http-signature --test all --locked -- --ignored --nocapture ed25519_verdicts

# The same for a million signatures with the code for AVX2, and with that for processors without it.
ed25519-backends:
	for backend in simd serial; do \
	  RUSTFLAGS="--cfg curve25519_dalek_backend=\"$$backend\"" KEYWARD_TEST_SIGNATURES=1000000 $(CARGO) test --release --package http-signature \
	    --test all --locked --target-dir target/$$backend -- --include-ignored --nocapture ed25519_verdicts || exit 1; \
	done

# The packages of clients/, built, and tested as they are built, against the server that `unit` built; what docs/sdk.md says of
# the Encord SDK.
clients:
	$(CARGO) test --workspace --locked --no-run
	.venv/bin/python scripts/native-vectors --check
	.venv/bin/python scripts/encord-version-1 --check
	./scripts/build-clients
	.venv/bin/ruff check clients/python && .venv/bin/ruff format --check clients/python
	cd clients/python && ../../.venv/bin/mypy
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target target/clients/site target/clients/keyward-*.whl
	PYTHONPATH=target/clients/site .venv/bin/python -m pytest clients/python
	npm --prefix clients/typescript test

# Validates the OpenAPI document, generates clients from it and uses them, and sends valid and invalid requests of each operation.
openapi:
	$(CARGO) test --workspace --locked --no-run
	.venv/bin/python scripts/openapi

# Replaces nodes with the previous database format under load. The build of the previous commit overwrites the present program,
# and the next line restores it.
upgrade:
	./scripts/build-before
	$(CARGO) test --workspace --locked --no-run
	.venv/bin/python scripts/upgrade --before target/before/keyward --rounds 1

# The pages, in a real browser against the real server. Uses the build of `unit`, so that nothing is built twice.
e2e:
	$(CARGO) test --workspace --locked --no-run
	npm --prefix e2e test

# Pictures of every page in target/screenshots.
screenshots:
	$(CARGO) test --workspace --locked --no-run
	npm --prefix e2e run screenshots

package-test:
	./scripts/package-test "$$(./scripts/package --built-by-tests)"

bench:
	$(CARGO) bench --workspace --locked

# Measures Keyward beside other software, which it installs into target/compare. Not a test. Takes ten minutes after the builds.
compare: setup
	$(CARGO) build --release --locked
	.venv/bin/python scripts/compare

# Stops a server under load, directly and behind nginx and Caddy. Not a test. Takes a minute after the build.
graceful-stop: setup
	$(CARGO) build --release --locked
	.venv/bin/python scripts/graceful-stop

# Offers a server more than it can do. Not a test. Takes three minutes after the build.
overload: setup
	$(CARGO) build --release --locked
	.venv/bin/python scripts/offered-load
	.venv/bin/python scripts/floods
