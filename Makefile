# SPDX-License-Identifier: GPL-2.0-only
#
# The ways into the project. `make demo` and `make test` need nothing but this tree, Rust, and root or sudo: they install
# what is missing. Everything that takes long to make is kept in ~/.cache/livepatchd (LIVEPATCHD_CACHE).

PREFIX ?= /usr
DESTDIR ?=
# whatever PREFIX is: configuration, and policy where D-Bus and polkit look for it and nowhere else
SYSCONFDIR ?= /etc
DATADIR ?= /usr/share
CARGO ?= cargo
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)

# bpf-linker is built against the LLVM of the compiler in use, so it lives in the cache, not in PATH
export PATH := $(shell tests/setup/prerequisites.sh --print-path 2>/dev/null):$(PATH)

vm = $(CARGO) run --quiet --release --package livepatch-tests --bin vm --

.PHONY: help
help:
	@echo "make demo                      see a stuck transition found, explained, nudged and finished (in a VM)"
	@echo "make shell                     a console in that VM, with livepatchd running and sample patches in /root"
	@echo "make test                      every check: style, lints, unit tests, scenarios on stock kernels in VMs"
	@echo "make nightly                   what takes too long for every test run: ten minutes of storm, every lack of memory, klp_rs on 7.3"
	@echo "make miri                      klp_rs' unit tests under Miri (needs nightly Rust with miri; not part of make test)"
	@echo "make bench                     the figures of README.md, measured side by side, in VMs of 2, 4 and 1 processors"
	@echo "make build                     target/release/livepatchd and livepatchctl"
	@echo "make install DESTDIR= PREFIX=  binaries, unit, bus and polkit policy, default configuration; make uninstall"
	@echo "make prerequisites             packages, rust-src and bpf-linker that the above need"

.PHONY: prerequisites
prerequisites:
	@tests/setup/prerequisites.sh

.PHONY: prerequisites-bpf
prerequisites-bpf:
	@tests/setup/prerequisites.sh --bpf

.PHONY: build
build: prerequisites-bpf
	@$(CARGO) build --quiet --release --package livepatchd

.PHONY: demo shell bench
demo shell bench: prerequisites
	@$(vm) $@

.PHONY: test
test: prerequisites
	@tests/all.sh

.PHONY: nightly
nightly: prerequisites
	@$(vm) test --no-daemon --nightly
	@$(vm) test --no-daemon --kernel 7.3 klp_rs
	@tests/dkms.sh 7.3

# What the properties try is not less under Miri, only seldomer. It has no part in `make test`: nightly Rust is no prerequisite.
.PHONY: miri
miri:
	@rustup run nightly cargo miri --version >/dev/null 2>&1 || { echo "miri: not installed, so nothing was run;" \
		"install it with: rustup toolchain install nightly --component miri,rust-src" >&2; exit 1; }
	@cd klp-module/host-tests && PROPTEST_CASES=4 MIRIFLAGS="-Zmiri-disable-isolation $(MIRIFLAGS)" \
		rustup run nightly cargo miri test

# What is installed, and where: mode, file, directory. `uninstall` removes exactly these files.
define installed
755 $(TARGET_DIR)/release/livepatchd $(PREFIX)/libexec
755 $(TARGET_DIR)/release/livepatchctl $(PREFIX)/bin
644 systemd/livepatchd.service $(PREFIX)/lib/systemd/system
644 systemd/90-livepatchd.preset $(PREFIX)/lib/systemd/system-preset
644 systemd/livepatchd.catalog $(PREFIX)/lib/systemd/catalog
644 systemd/org.livepatch.Manager.conf $(DATADIR)/dbus-1/system.d
644 systemd/org.livepatch.Manager.service $(DATADIR)/dbus-1/system-services
644 systemd/org.livepatch.Manager.xml $(DATADIR)/dbus-1/interfaces
644 systemd/org.livepatch.Patch.xml $(DATADIR)/dbus-1/interfaces
644 systemd/org.livepatch.Job.xml $(DATADIR)/dbus-1/interfaces
644 systemd/org.livepatch.policy $(DATADIR)/polkit-1/actions
644 systemd/livepatchd.toml $(SYSCONFDIR)/livepatchd
endef
export installed

# The configuration of an installed system is never overwritten.
.PHONY: install
install:
	@test -x $(TARGET_DIR)/release/livepatchd || { echo "install: run 'make build' first" >&2; exit 1; }
	@echo "$$installed" | while read -r mode file directory; do \
		to="$(DESTDIR)$$directory/$${file##*/}"; \
		case $$file in *.toml) test -e "$$to" && continue ;; esac; \
		install -D -m "$$mode" "$$file" "$$to" || exit 1; \
	done
	@test $(PREFIX) = /usr || sed -i 's|/usr/libexec/|$(PREFIX)/libexec/|' \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/livepatchd.service $(DESTDIR)$(DATADIR)/dbus-1/system-services/*.livepatch.*
	@test -n "$(DESTDIR)" || ! test -d /run/systemd/system || { systemctl daemon-reload; journalctl --update-catalog; }
	@echo "install: done; start it with: systemctl enable --now livepatchd"

.PHONY: uninstall
uninstall:
	@test -n "$(DESTDIR)" || ! test -d /run/systemd/system || systemctl disable --now livepatchd
	@echo "$$installed" | while read -r mode file directory; do \
		to="$(DESTDIR)$$directory/$${file##*/}"; \
		case $$file in *.toml) cmp -s "$$file" "$$to" || continue ;; esac; \
		rm -f "$$to"; \
	done
	@! test -d $(DESTDIR)$(SYSCONFDIR)/livepatchd || \
		rmdir --ignore-fail-on-non-empty $(DESTDIR)$(SYSCONFDIR)/livepatchd
	@test -n "$(DESTDIR)" || ! test -d /run/systemd/system || { systemctl daemon-reload; journalctl --update-catalog; }
	@! test -d $(DESTDIR)$(SYSCONFDIR)/livepatchd || echo "uninstall: $(SYSCONFDIR)/livepatchd was changed and is kept"
	@echo "uninstall: done"

.PHONY: clean
clean:
	@$(CARGO) clean --quiet
