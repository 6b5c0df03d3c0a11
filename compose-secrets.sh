#!/bin/sh
# What docker-compose.yml reads from secrets/: keys, passwords and database URLs. Makes each that is missing; run it once,
# and keep a copy of secrets/master_key elsewhere. The files go to the users of the containers by way of a container, so
# that it works without root, with a rootless engine too.
set -eu
umask 077
mkdir -p secrets
for name in master_key secret_key; do [ -s "secrets/$name" ] || openssl rand -hex 32 > "secrets/$name"; done
for name in owner runtime; do
    user=portal
    [ "$name" = runtime ] || user=portal_owner
    [ -s "secrets/${name}_password" ] || openssl rand -hex 24 > "secrets/${name}_password"
    [ -s "secrets/${name}_url" ] ||
        echo "postgresql://$user:$(cat "secrets/${name}_password")@/portal?host=/run/postgresql" > "secrets/${name}_url"
done
if [ "${1:-}" = --no-chown ]; then exit; fi
${DOCKER:-docker} run --rm --network none -v "$PWD/secrets:/secrets" --entrypoint sh postgres:18-bookworm -c '
    chmod 755 /secrets && chmod 400 /secrets/* &&
    chown 10001 /secrets/*_key /secrets/*_url && chown 999 /secrets/*_password'
