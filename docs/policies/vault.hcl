# What the portal may do in HashiCorp Vault or OpenBao: wrap and unwrap data keys with one transit key. Nothing else.
# It cannot read, rotate, export or delete the key. Put your mount and the key's name in place of transit and portal.
path "transit/encrypt/portal" {
  capabilities = ["update"]
}

path "transit/decrypt/portal" {
  capabilities = ["update"]
}

# To keep its own token good (PORTAL_VAULT_AUTH=token). An AppRole and a Kubernetes role sign in anew and need it not.
path "auth/token/renew-self" {
  capabilities = ["update"]
}
