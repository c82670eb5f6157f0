#!/bin/sh
# What Ray Serve starts as its HAProxy. Ray's configuration opens statistics to every interface and hides a dead replica
# behind a bare 500; both are changed in the file that HAProxy is about to read.
previous=
for word in "$@"; do
  if [ "$previous" = -f ]; then
    sed -i -e 's#^\( *bind \)\*\{0,1\}:\([0-9]\)#\1127.0.0.1:\2#' \
      -e "s#^\( *errorfile 50[234] \).*#\1$EDGE_SERVE_UNAVAILABLE#" "$word"
  fi
  previous=$word
done
# Nothing stays behind if Ray is killed: setpriv is part of Debian's and Ubuntu's util-linux.
if setpriv --pdeathsig KILL true 2> /dev/null; then
  exec setpriv --pdeathsig KILL "$EDGE_SERVE_HAPROXY" "$@"
fi
exec "$EDGE_SERVE_HAPROXY" "$@"
