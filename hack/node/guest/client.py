import socket, sys
s = socket.create_connection((sys.argv[1], 9000), timeout=10)
s.settimeout(None)
s.sendall(" ".join(sys.argv[2:]).encode())
s.shutdown(socket.SHUT_WR)
tail = b""
while chunk := s.recv(65536):
    tail += chunk
    out, sep, rest = tail.partition(b"\0")
    sys.stdout.buffer.write(out); sys.stdout.flush()
    tail = sep + rest
sys.exit(int(tail[1:] or b"255"))
