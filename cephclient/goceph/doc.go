// Package goceph reaches real Ceph clusters through librados, librbd, libcephfs and
// the mgr, by way of go-ceph. Its adapters are thin: they make one call each, end
// it by its context's deadline, and turn errno into the errors of package
// cephclient. What should happen is decided there, not here.
//
// No ceph.conf, keyring file or command-line tool takes part, so nothing that
// is installed on the machine can change how the calls behave.
package goceph
