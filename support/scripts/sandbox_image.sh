#!/usr/bin/env bash
# Makes the image of compose/sandbox/Dockerfile without pulling anything, by the same steps: debootstrap, install.sh, docker import.
#   sandbox_image.sh [NAME]         NAME: persevere-sandbox. DOCKER_HOST chooses the engine, as always.
#   sandbox_image.sh --only-cache   makes the system, for an engine that is started later.
# The finished system is kept in CACHE (/var/tmp/persevere-sandbox), so that the next engine gets it in seconds;
# an engine that has it already is left alone. Needs root.
set -euo pipefail
cd "$(dirname "$0")/../.."
name=${1:-persevere-sandbox}
cache=${CACHE:-/var/tmp/persevere-sandbox}
base=$(sed -n 's/^FROM debian:\([a-z]*\).*/\1/p' compose/sandbox/Dockerfile)
python=$(command -v python3)
tools=$("$python" compose/sandbox/locked.py requirements.lock compose/sandbox/tools.txt)
key=$(printf '%s\n' "$tools" | cat compose/sandbox/{install.sh,locked.py,tools.txt,Dockerfile} - | sha256sum | cut -c1-16)
if [ "$name" != --only-cache ] && [ "$(docker image inspect -f '{{index .Config.Labels "persevere.steps"}}' "$name" 2>/dev/null)" = "$key" ]; then
    exit 0
fi
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -f "$cache/$key.tar" ]; then
    work=$(mktemp -d "$cache/making-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    find "$cache" -maxdepth 1 -name 'making-*' ! -path "$work" -exec rm -rf {} +
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m1 '/debian/\?$' || true)
    debootstrap --variant=minbase "$base" "$work/root" $mirror >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; exit 1; }
    mkdir -p "$work/root/tmp/install/wheels"
    printf '%s\n' "$tools" >"$work/tools.txt"
    version=$(chroot "$work/root" sh -c 'apt-get update -qq >/dev/null; apt-cache show python3' | sed -n 's/^Version: \([0-9]*\.[0-9]*\).*/\1/p' | head -n1)
    "$python" -m pip download -qq --no-deps --require-hashes --only-binary :all: ${version:+--python-version "$version"} \
        -r "$work/tools.txt" -d "$work/root/tmp/install/wheels"
    cp compose/sandbox/{install.sh,locked.py,tools.txt} requirements.lock "$work/root/tmp/install/"
    cp -L /etc/resolv.conf "$work/root/etc/resolv.conf" 2>/dev/null || true
    [ ! -d /etc/apt/apt.conf.d ] || grep -rhi 'proxy' /etc/apt/apt.conf.d >"$work/root/etc/apt/apt.conf.d/99proxy" 2>/dev/null || true
    env -i PATH="$PATH" LANG=C.UTF-8 WHEELS=/tmp/install/wheels chroot "$work/root" sh /tmp/install/install.sh >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
    rm -rf "$work/root/tmp/install" "$work/root/etc/resolv.conf" "$work/root/etc/apt/apt.conf.d/99proxy"
    find "$cache" -maxdepth 1 -name '*.tar' -mtime +14 -delete
    tar -C "$work/root" --numeric-owner --sort=name --exclude=./proc/* --exclude=./sys/* -cf "$work/root.tar" .
    mv "$work/root.tar" "$cache/$key.tar"
fi
[ "$name" != --only-cache ] || exit 0
docker import --change 'USER persevere' --change 'WORKDIR /workspace' --change 'CMD ["sleep", "infinity"]' \
    --change "LABEL persevere.steps=$key" "$cache/$key.tar" "$name"
docker image prune -f --filter label=persevere.steps >/dev/null
