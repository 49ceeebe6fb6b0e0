#!/bin/sh
# An authority of your own, a certificate for catflap, and one for a client (mTLS):
#
#   ./make-certificates.sh FOLDER NAME [NAME …]      names and addresses by which clients reach catflap
#   ./make-certificates.sh tls mcp.internal localhost 127.0.0.1
#
#   ca.pem  ca.key           trust ca.pem in clients; keep ca.key off every server: who has it can be anybody
#   server.pem  server.key   for `tls` of a listener
#   client.pem  client.key   for a client, where the listener asks for one (`clientCa: ca.pem`)
set -eu
umask 077

[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$1
shift
mkdir -p "$folder"
[ ! -e "$folder/ca.key" ] || { echo "$folder/ca.key exists: remove it first, if nobody trusts ca.pem any more" >&2; exit 1; }

names=
for name in "$@"; do
  case $name in
    *:* | *[!0-9.]*) case $name in *:*) kind=IP ;; *) kind=DNS ;; esac ;;
    *) kind=IP ;;
  esac
  names=$names${names:+,}$kind:$name
done

cat > "$folder/openssl.cnf" <<END
[req]
prompt = no
distinguished_name = subject
[subject]
[authority]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = $names
authorityKeyIdentifier = keyid
[client]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
END

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$folder/$1.key" 2>/dev/null; }

# sign WHAT SUBJECT DAYS
sign() {
  key "$1"
  openssl req -new -config "$folder/openssl.cnf" -subj "$2" -key "$folder/$1.key" -out "$folder/$1.csr"
  openssl x509 -req -sha256 -days "$3" -in "$folder/$1.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial \
    -extfile "$folder/openssl.cnf" -extensions "$1" -out "$folder/$1.pem" 2>/dev/null
  rm "$folder/$1.csr"
}

key ca
openssl req -x509 -new -sha256 -days 3650 -config "$folder/openssl.cnf" -extensions authority -subj '/CN=catflap local CA' \
  -key "$folder/ca.key" -out "$folder/ca.pem"
sign server "/CN=$1" 397
sign client '/CN=catflap client' 397
rm -f "$folder/openssl.cnf" "$folder/ca.srl"

# Whoever is to trust or to check a certificate may read it.
chmod 644 "$folder/ca.pem" "$folder/server.pem" "$folder/client.pem"
echo "$folder: ca.pem, server.pem and client.pem, with their keys"
