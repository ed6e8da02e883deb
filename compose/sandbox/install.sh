#!/bin/sh
# Makes a fresh Debian the system that sandboxes run: the one list of what is in the image, for `docker build` and for
# support/scripts/sandbox_image.sh alike. Run as root, beside locked.py, tools.txt and requirements.lock. WHEELS: a folder of wheels
# to install from.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export DEBIAN_FRONTEND=noninteractive
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/fast
printf 'path-exclude=/usr/share/%s/*\n' doc man locale info >/etc/dpkg/dpkg.cfg.d/small
apt-get update -qq
apt-get install -y -qq --no-install-recommends ca-certificates git make nodejs npm python3 python3-pip python3-venv tini >/dev/null

groupadd --gid 1000 persevere
useradd --uid 1000 --gid 1000 --home-dir /tmp/home --no-create-home --shell /bin/sh persevere
useradd --uid 1001 --gid 1000 --home-dir /tmp --no-create-home --shell /bin/sh keeper
mkdir -p /workspace
chown persevere:persevere /workspace

# what workflows/recipes/tools/ imports and runs, with what that needs (tools.txt)
python3 -m venv --without-pip /opt/persevere/tools
python3 "$here/locked.py" "$here/requirements.lock" "$here/tools.txt" >"$here/tools.lock"
python3 -m pip --python /opt/persevere/tools/bin/python install --quiet --no-cache-dir --no-deps --require-hashes \
    ${WHEELS:+--no-index --find-links "$WHEELS"} -r "$here/tools.lock"
/opt/persevere/tools/bin/python -m compileall -q /opt/persevere/tools/lib
/opt/persevere/tools/bin/python -c 'import rope.base.project, tree_sitter' && /opt/persevere/tools/bin/ruff --version >/dev/null

apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /root/.cache
