#!/usr/bin/env bash
# Install the Debian packages that some tests need, unless they are there: tests/install_packages.sh slurm-wlm chromium
set -euo pipefail
missing=()
for package; do
  [[ $(dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null) == *"ok installed" ]] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "error: ${missing[*]} not installed, and only root can install them, with Debian's apt-get" >&2
  exit 2
fi
echo "installing ${missing[*]}"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
