#!/bin/sh
# The browser tests need Chromium and its driver. Where they are missing and this is root on Debian, install them; else say how.
command -v chromium >/dev/null 2>&1 && command -v chromedriver >/dev/null 2>&1 && exit 0
command -v google-chrome >/dev/null 2>&1 && command -v chromedriver >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing chromium and chromium-driver for the browser tests"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium chromium-driver >/dev/null && exit 0
fi
echo "The browser tests need Chromium and chromedriver: on Debian or Ubuntu 'sudo apt-get install chromium chromium-driver'." >&2
[ "${CI:-}" = true ] && exit 1
echo "Without them those tests are skipped." >&2
exit 0
