"""Runs shell commands in the guest for node.sh: command in, output and status out."""
import socketserver, subprocess, sys

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        command = self.rfile.read().decode()
        p = subprocess.Popen(["/bin/bash", "-c", command], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        while chunk := p.stdout.read1(65536):
            self.wfile.write(chunk)
        self.wfile.write(b"\0%d" % p.wait())

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

Server((sys.argv[1], 9000), Handler).serve_forever()
