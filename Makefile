# One command a purpose. `make test` is what has to pass; it installs what is missing first.
.PHONY: test setup lint unit deny bench

# One profile for everything that is tested, the server included.
CARGO ?= cargo

test: setup lint deny unit

setup:
	./scripts/setup

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

deny:
	.tools/bin/cargo-deny --log-level error check bans licenses sources

unit:
	$(CARGO) test --workspace --locked

bench:
	$(CARGO) bench --workspace --locked
